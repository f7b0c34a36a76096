/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's framing as a library for the host: what the BPF programs do around http1.h, with memory
 * instead of maps.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/types.h>

#include "http1.h"

enum shim_kind {
	SHIM_REQUEST,
	SHIM_RESPONSE,
	SHIM_UNMATCHED_RESPONSE,
};

struct shim_event {
	uint64_t method; /* as text, the first character in the lowest byte; 0 if not a standard one */
	uint16_t status;
	uint8_t kind;
	uint8_t minor; /* of HTTP/1.x */
};

struct shim_conn {
	struct http1_connection http1;
	struct http1_cursor cursor;
	uint8_t window[HTTP1_WINDOW + 8];
	uint64_t clock;
	uint32_t windows;
	struct shim_event *events;
	size_t count;
	struct http1_run *spilled;
	uint32_t spilled_end;
};

static void *grown(void *old, size_t size)
{
	void *memory = realloc(old, size);

	if (!memory)
		abort();
	return memory;
}

static struct shim_conn *shim_of(const struct http1_connection *http1)
{
	return (struct shim_conn *)((uintptr_t)http1 - offsetof(struct shim_conn, http1));
}

static int http1_spill(const struct http1_connection *http1, __u32 n, const struct http1_run *run)
{
	struct shim_conn *conn = shim_of(http1);

	if (n >= conn->spilled_end) {
		conn->spilled_end = n + 1;
		conn->spilled = grown(conn->spilled, conn->spilled_end * sizeof(*run));
	}
	conn->spilled[n] = *run;
	return 0;
}

static int http1_unspill(const struct http1_connection *http1, __u32 n, struct http1_run *run)
{
	struct shim_conn *conn = shim_of(http1);

	if (n >= conn->spilled_end)
		return -1;
	*run = conn->spilled[n];
	return 0;
}

struct shim_conn *shim_new(void)
{
	struct shim_conn *conn = grown(NULL, sizeof(*conn));

	memset(conn, 0, sizeof(*conn));
	http1_init(&conn->http1, 0);
	return conn;
}

void shim_free(struct shim_conn *conn)
{
	free(conn->spilled);
	free(conn->events);
	free(conn);
}

size_t shim_events(struct shim_conn *conn, const struct shim_event **out)
{
	*out = conn->events;
	return conn->count;
}

static void shim_push(struct shim_conn *conn, struct shim_event event)
{
	conn->events = grown(conn->events, (conn->count + 1) * sizeof(event));
	conn->events[conn->count++] = event;
}

/* Brings bytes into the window, of various numbers, as if they lay in iovecs of such lengths. */
static int shim_fill(struct shim_conn *conn, const uint8_t *data)
{
	static const size_t sizes[] = { HTTP1_WINDOW, HTTP1_WINDOW, 1, 8, 9, 100 };
	size_t size = sizes[conn->windows++ % (sizeof(sizes) / sizeof(*sizes))];
	struct http1_cursor *cursor = &conn->cursor;

	if (!data)
		return -1;
	cursor->base = cursor->at;
	cursor->filled = cursor->length - cursor->at;
	if (cursor->filled > size)
		cursor->filled = size;
	memcpy(conn->window, data + cursor->at, cursor->filled);
	return 0;
}

static void shim_begin(struct shim_conn *conn, struct http1_stream *stream, size_t len)
{
	conn->cursor = (struct http1_cursor){ .length = len, .now = ++conn->clock };
	http1_begin(stream);
}

void shim_receive(struct shim_conn *conn, const uint8_t *data, size_t len)
{
	struct http1_stream *stream = &conn->http1.request;

	shim_begin(conn, stream, len);
	while (conn->cursor.at < conn->cursor.length) {
		switch (http1_advance(stream, &conn->cursor, conn->window)) {
		case HTTP1_REQUEST_LINE:
			http1_request(&conn->http1, conn->cursor.now);
			shim_push(conn, (struct shim_event){
						.kind = SHIM_REQUEST,
						.method = http1_standard_method(stream->token),
						.minor = stream->minor,
					});
			break;
		case HTTP1_WINDOW_END:
			if (shim_fill(conn, data)) {
				http1_lose(stream);
				return;
			}
			break;
		case HTTP1_LOSS:
			return;
		default:
			break;
		}
	}
}

static void shim_answer(struct shim_conn *conn)
{
	struct shim_event event = { .status = conn->http1.response.status };
	struct http1_exchange exchange;

	switch (http1_response(&conn->http1, &exchange)) {
	case HTTP1_INTERIM:
		return;
	case HTTP1_FINAL:
		event.kind = SHIM_RESPONSE;
		event.method = exchange.method;
		event.minor = exchange.minor;
		break;
	case HTTP1_UNMATCHED:
		event.kind = SHIM_UNMATCHED_RESPONSE;
		break;
	}
	shim_push(conn, event);
}

void shim_send(struct shim_conn *conn, const uint8_t *data, size_t len)
{
	struct http1_stream *stream = &conn->http1.response;

	shim_begin(conn, stream, len);
	while (conn->cursor.at < conn->cursor.length) {
		switch (http1_advance(stream, &conn->cursor, conn->window)) {
		case HTTP1_STATUS_LINE:
			shim_answer(conn);
			break;
		case HTTP1_WINDOW_END:
			if (shim_fill(conn, data)) {
				http1_lose(stream);
				http1_forget(&conn->http1);
				return;
			}
			break;
		case HTTP1_LOSS:
			http1_forget(&conn->http1);
			return;
		default:
			break;
		}
	}
}
