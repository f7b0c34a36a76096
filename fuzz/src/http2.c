/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 as the BPF programs follow it, as a library for the host: the very sources, walked as a program walks them, with
 * the second block of slots and a third place for streams behind them. What is found is noted one by one.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http2/requests.h"
#include "protocol/http2/responses.h"

/* A block that is complete, whatever it means. */
struct h2_shim_block {
	uint32_t stream;
	uint16_t seen;
	uint16_t status;
	uint16_t grpc;
	uint8_t method;
	uint8_t sent;
	uint8_t last;
	uint8_t pad[3];
};

/* What is to be counted. */
struct h2_shim_outcome {
	uint64_t duration; /* in transfers */
	uint32_t outcome;
	uint32_t requests;
	uint32_t stream; /* that the event is about */
	uint16_t status;
	uint16_t grpc;
	uint8_t method;
	uint8_t sent;
	uint8_t pad[6];
};

struct h2_shim {
	struct h2_connection conn;
	struct h2_more_streams more;
	struct h2_stream *third;
	size_t thirds;
	struct h2_shim_block *blocks;
	size_t block_count;
	struct h2_shim_outcome *outcomes;
	size_t outcome_count;
	size_t steps;
	size_t losses; /* of what was followed */
	uint64_t clock;
	bool has_more; /* the second block was made */
	bool joins;    /* what is refuted may be joined again */
	bool refuted;
	uint8_t window[HTTP_WINDOW + HTTP_PAD];
};

static void *h2_grown(void *old, size_t size)
{
	void *memory = realloc(old, size);

	if (!memory)
		abort();
	return memory;
}

/* ---- the third place ---- */

static struct h2_stream *h2_third(struct h2_shim *shim, uint32_t id)
{
	for (size_t i = 0; i < shim->thirds; i++)
		if (shim->third[i].id == id)
			return &shim->third[i];
	return NULL;
}

static void h2_keep(struct h2_shim *shim, const struct h2_stream *stream)
{
	struct h2_stream *place = h2_third(shim, 0);

	if (!place) {
		shim->third = h2_grown(shim->third, (shim->thirds + 1) * sizeof(*place));
		place = &shim->third[shim->thirds++];
	}
	*place = *stream;
}

static struct h2_stream *h2_slot_of(struct h2_shim *shim, uint32_t id)
{
	struct h2_stream *slot = h2_find(&shim->conn, shim->has_more ? &shim->more : NULL, id);

	return slot || !id ? slot : h2_third(shim, id);
}

static void h2_store(struct h2_shim *shim, const struct h2_stream *stream)
{
	if (h2_hold(&shim->conn, shim->has_more ? &shim->more : NULL, stream))
		return;
	if (!shim->has_more) {
		shim->has_more = true;
		if (h2_hold(&shim->conn, &shim->more, stream))
			return;
	}
	h2_keep(shim, stream);
}

/* ---- the walk ---- */

static void h2_note_block(struct h2_shim *shim, const struct h2_direction *d, bool sent)
{
	shim->blocks = h2_grown(shim->blocks, (shim->block_count + 1) * sizeof(*shim->blocks));
	shim->blocks[shim->block_count++] = (struct h2_shim_block){
		.stream = d->of,
		.seen = d->seen,
		.status = d->status,
		.grpc = d->grpc,
		.method = d->method,
		.sent = sent,
		.last = (d->opening & H2_LAST_HEAD) != 0,
	};
}

static void h2_note_outcome(struct h2_shim *shim, const struct h2_exchange *exchange, uint32_t stream,
			    bool sent)
{
	uint32_t outcome = exchange->outcome;
	if (outcome & H2_REFUTED)
		shim->refuted = true;
	outcome &= ~(H2_HOLDS | H2_FREES);
	if (!outcome)
		return;
	shim->outcomes = h2_grown(shim->outcomes, (shim->outcome_count + 1) * sizeof(*shim->outcomes));
	shim->outcomes[shim->outcome_count++] = (struct h2_shim_outcome){
		.outcome = outcome,
		.duration = exchange->duration,
		.requests = exchange->requests,
		.stream = stream,
		.status = exchange->status,
		.grpc = exchange->grpc,
		.method = exchange->method,
		.sent = sent,
	};
}

static void h2_happened(struct h2_shim *shim, struct h2_direction *d, enum h2_event event, bool sent)
{
	uint32_t id = h2_stream_of(d, event);
	struct h2_exchange exchange = {};
	struct h2_stream *slot = h2_slot_of(shim, id);
	if (event == H2_HEAD)
		h2_note_block(shim, d, sent);
	shim->losses += event == H2_LOSS;
	if (sent)
		h2_sent(&shim->conn, event, slot, shim->clock, &exchange);
	else
		h2_received(&shim->conn, event, slot, shim->clock, &exchange);
	if (exchange.outcome & H2_HOLDS)
		h2_store(shim, &exchange.stream);
	h2_note_outcome(shim, &exchange, id, sent);
}

/* As many bytes as are wanted at the cursor, and behind them what earlier transfers have left. */
static void h2_fill(struct h2_shim *shim, const struct h2_direction *d, struct http_cursor *cur,
		    const uint8_t *data)
{
	cur->base = cur->at;
	cur->filled = h2_wants(d);
	if (cur->filled > cur->length - cur->at)
		cur->filled = cur->length - cur->at;
	memcpy(shim->window, data + cur->at, cur->filled);
}

/* Without data they are bytes that nobody can see. */
static void h2_walk(struct h2_shim *shim, struct h2_direction *d, const uint8_t *data, size_t length,
		    bool sent)
{
	struct http_cursor cur = { .length = length, .now = shim->clock };
	enum h2_event event;

	while (cur.at < cur.length && !shim->refuted) {
		shim->steps++;
		event = h2_advance(d, &cur, shim->window);
		if (event == H2_WINDOW_END && data)
			h2_fill(shim, d, &cur, data);
		else if (event == H2_WINDOW_END)
			h2_happened(shim, d, h2_lose(d), sent);
		else if (event != H2_NOTHING)
			h2_happened(shim, d, event, sent);
	}
}

/* ---- the library ---- */

enum h2_shim_way {
	H2_SHIM_WHOLE,	  /* from the preface on */
	H2_SHIM_UPGRADED, /* by an HTTP/1 request, of which stream 1 is the answer */
	H2_SHIM_JOINED,	  /* in the middle, as often as it takes */
};

struct h2_shim *h2_shim_new(int way)
{
	struct h2_shim *shim = h2_grown(NULL, sizeof(*shim));

	memset(shim, 0, sizeof(*shim));
	memset(shim->window, 0x82, sizeof(shim->window));
	shim->joins = way == H2_SHIM_JOINED;
	if (way == H2_SHIM_WHOLE)
		h2_init(&shim->conn);
	else if (way == H2_SHIM_UPGRADED)
		h2_upgrade(&shim->conn, 0, HTTP_METHOD_GET);
	else
		h2_join(&shim->conn);
	return shim;
}

void h2_shim_free(struct h2_shim *shim)
{
	free(shim->third);
	free(shim->blocks);
	free(shim->outcomes);
	free(shim);
}

static void h2_shim_begin(struct h2_shim *shim)
{
	shim->clock++;
	if (!shim->refuted || !shim->joins)
		return;
	shim->refuted = false;
	shim->thirds = 0;
	h2_join(&shim->conn);
}

void h2_shim_receive(struct h2_shim *shim, const uint8_t *data, size_t length)
{
	struct h2_exchange exchange = {};

	h2_shim_begin(shim);
	h2_begin_receive(&shim->conn, &exchange);
	h2_note_outcome(shim, &exchange, 0, false);
	h2_walk(shim, &shim->conn.request, data, length, false);
}

void h2_shim_send(struct h2_shim *shim, const uint8_t *data, size_t length)
{
	h2_shim_begin(shim);
	if (h2_begin_send(&shim->conn) && shim->has_more)
		h2_sweep_more(&shim->conn, &shim->more);
	h2_walk(shim, &shim->conn.response, data, length, true);
}

size_t h2_shim_blocks(const struct h2_shim *shim, const struct h2_shim_block **out)
{
	*out = shim->blocks;
	return shim->block_count;
}

size_t h2_shim_outcomes(const struct h2_shim *shim, const struct h2_shim_outcome **out)
{
	*out = shim->outcomes;
	return shim->outcome_count;
}

size_t h2_shim_steps(const struct h2_shim *shim)
{
	return shim->steps;
}

size_t h2_shim_losses(const struct h2_shim *shim)
{
	return shim->losses;
}

/* Streams for which a place is taken. */
size_t h2_shim_held(const struct h2_shim *shim)
{
	size_t held = 0, i;

	for (i = 0; i < H2_STREAMS; i++)
		held += shim->conn.streams[i].id != 0;
	for (i = 0; i < H2_MORE_STREAMS; i++)
		held += shim->more.slots[i].id != 0;
	for (i = 0; i < shim->thirds; i++)
		held += shim->third[i].id != 0;
	return held;
}

int h2_shim_greets(const uint8_t *window, size_t filled)
{
	return h2_greets(window, filled);
}
