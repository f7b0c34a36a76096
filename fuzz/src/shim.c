/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the BPF programs make of a connection, as a library for the host: the very sources, from the user
 * buffers on. Requests and responses are noted one by one where the framing takes them, and what the
 * kernel's counters were told must add up to the same.
 */
#include <bpf/bpf_helpers.h>
#include "protocol/http1/pairing.h"

static enum http1_place shim_request(enum http1_place place, const struct http1_connection *http1);
static enum http1_answer shim_response(enum http1_answer answer, const struct http1_connection *http1,
				       const struct http_exchange *exchange);
static int shim_head(int missing);

/* A macro does not expand itself: from here on the framing is called as it is, and watched. */
#define http1_request(http1, now, run) shim_request(http1_request(http1, now, run), http1)
#define http1_response(http1, exchange) shim_response(http1_response(http1, exchange), http1, exchange)
#include "protocol/http1/fast.h"
#define http1_fast_request(...) shim_head(http1_fast_request(__VA_ARGS__))
#define http1_fast_response(...) shim_head(http1_fast_response(__VA_ARGS__))
#include "connection/connection.bpf.h"

#define SHIM_IOVECS 16

enum shim_kind {
	SHIM_REQUEST,
	SHIM_RESPONSE,
	SHIM_UNMATCHED_RESPONSE,
};

struct shim_event {
	uint64_t method;   /* as text, the first character in the lowest byte; 0 if not a standard one */
	uint64_t duration; /* in transfers */
	uint16_t status;
	uint8_t kind;
	uint8_t minor; /* of HTTP/1.x */
};

struct shim {
	struct http_connection *known; /* what the map of connections has of it */
	struct http_connection scratch;
	struct http_transfer transfers[HTTP_DIRECTIONS];
	__u64 missed[HTTP_REASONS];
	struct iovec iovecs[SHIM_IOVECS];
	uint8_t *memory; /* of the process */
	uint64_t clock;
	uint64_t reads;
	struct http_spilled_runs *spilled;
	uint32_t spilled_end;
	uint64_t map_calls; /* about them */
	struct shim_event *events;
	size_t count;
	size_t counted; /* by what stands for the kernel's counters */
	size_t taken;	/* heads, at once */
	size_t steps;
	int fast;
	int scatter;
	int forgetful;
	uint64_t moved[HTTP_DIRECTIONS];    /* bytes, before this transfer */
	uint64_t switched[HTTP_DIRECTIONS]; /* one more than those before HTTP/2; 0 if there was none */
	bool absent;			    /* the memory of this transfer */
};

static _Thread_local struct shim *shim;

static void *grown(void *old, size_t size)
{
	void *memory = realloc(old, size);

	if (!memory)
		abort();
	return memory;
}

/* ---- what the headers in host/ promise ---- */

/* A map that is full takes nothing, and one that evicts no longer has what it took: now and then, if it is to. */
static bool shim_forgets(void)
{
	return shim->forgetful && ++shim->map_calls * 0x9e3779b97f4a7c15ULL >> 61 == 0;
}

static void *bpf_map_lookup_elem(const void *map, const void *key)
{
	if (map == &http_transfers)
		return &shim->transfers[*(const uint32_t *)key];
	if (map == &http_spilled && ((const struct http_spill_key *)key)->n < shim->spilled_end &&
	    !shim_forgets())
		return &shim->spilled[((const struct http_spill_key *)key)->n];
	return NULL;
}

/* There is but one. */
static struct http_connection *http_connection_by_inode(__u64 inode)
{
	return shim->known;
}

static struct http_connection *http_scratch_connection(void)
{
	return &shim->scratch;
}

static void http_keep_connection(const struct http_endpoint *endpoint, const struct http_connection *conn)
{
	shim->known = grown(NULL, sizeof(*conn));
	*shim->known = *conn;
}

/* Runs are all that is ever put into a map. */
static long bpf_map_update_elem(const void *map, const void *key, const void *value, uint64_t flags)
{
	uint64_t n = ((const struct http_spill_key *)key)->n;

	if (shim_forgets())
		return -1;
	if (n >= shim->spilled_end) {
		shim->spilled_end = n + 1;
		shim->spilled = grown(shim->spilled, shim->spilled_end * sizeof(*shim->spilled));
	}
	shim->spilled[n] = *(const struct http_spilled_runs *)value;
	return 0;
}

static long bpf_map_delete_elem(const void *map, const void *key)
{
	uint64_t n = ((const struct http_spill_key *)key)->n;

	if (n < shim->spilled_end)
		memset(&shim->spilled[n], 0, sizeof(*shim->spilled));
	return 0;
}

/* One time for all that happens in a transfer. */
static uint64_t bpf_ktime_get_ns(void)
{
	return shim->clock;
}

/* What memory holds of earlier times: what would do most harm if it were taken for a part of this transfer. */
static const uint8_t shim_stale[] = "\nContent-Length: 7\r\n\r\nGET /stale HTTP/1.1\r\n"
				    "Transfer-Encoding: chunked\r\n\r\nHTTP/1.1 500 \r\n0123456789";

/* A part of it, another one each time: at most `room` bytes, whose number is returned. */
static size_t shim_soil(uint8_t *to, size_t room)
{
	size_t phase = shim->reads / 2 % sizeof(shim_stale);
	size_t length = sizeof(shim_stale) - phase;

	if (length > room)
		length = room;
	memcpy(to, shim_stale + phase, length);
	return length;
}

/*
 * Fails as in the kernel with a page that is absent. A window also holds, every other time, what earlier transfers,
 * of whatever process, have left in it.
 */
static long bpf_probe_read_user(void *to, uint32_t size, const void *from)
{
	uint32_t i;

	if (shim->absent) {
		memset(to, 0, size);
		return -1;
	}
	memcpy(to, from, size);
	for (i = 0; i < HTTP_DIRECTIONS; i++)
		if (to == shim->transfers[i].window && ++shim->reads % 2)
			shim_soil((uint8_t *)to + size, HTTP_WINDOW + HTTP_PAD - size);
	return 0;
}

static void shim_switch(enum http_direction direction)
{
	shim->switched[direction] = shim->moved[direction] + shim->transfers[direction].cursor.at + 1;
}

/* ---- what is counted ---- */

static void shim_push(struct shim_event event)
{
	shim->events = grown(shim->events, (shim->count + 1) * sizeof(event));
	shim->events[shim->count++] = event;
}

static uint64_t shim_text(enum http_method method)
{
	static const uint64_t texts[] = {
		[HTTP_METHOD_CONNECT] = HTTP1_TEXT("CONNECT"), [HTTP_METHOD_DELETE] = HTTP1_TEXT("DELETE"),
		[HTTP_METHOD_GET] = HTTP1_TEXT("GET"),	       [HTTP_METHOD_HEAD] = HTTP1_TEXT("HEAD"),
		[HTTP_METHOD_OPTIONS] = HTTP1_TEXT("OPTIONS"), [HTTP_METHOD_PATCH] = HTTP1_TEXT("PATCH"),
		[HTTP_METHOD_POST] = HTTP1_TEXT("POST"),       [HTTP_METHOD_PUT] = HTTP1_TEXT("PUT"),
		[HTTP_METHOD_TRACE] = HTTP1_TEXT("TRACE"),
	};

	return texts[method];
}

static enum http1_place shim_request(enum http1_place place, const struct http1_connection *http1)
{
	shim_push((struct shim_event){
		.kind = SHIM_REQUEST,
		.method = shim_text(http1->request.method),
		.minor = http1->request.minor,
	});
	return place;
}

static enum http1_answer shim_response(enum http1_answer answer, const struct http1_connection *http1,
				       const struct http_exchange *exchange)
{
	struct shim_event event = { .status = http1->response.status };

	if (answer == HTTP1_FINAL) {
		event.kind = SHIM_RESPONSE;
		event.status = exchange->status;
		event.method = shim_text(exchange->method);
		event.duration = exchange->duration;
		event.minor = exchange->version == HTTP_VERSION_1_1;
		shim_push(event);
	} else if (answer == HTTP1_UNMATCHED) {
		event.kind = SHIM_UNMATCHED_RESPONSE;
		shim_push(event);
	}
	return answer;
}

static int shim_head(int missing)
{
	if (missing || !shim->fast)
		return -1;
	shim->taken++;
	return 0;
}

static void http_miss(enum http_reason reason, __u64 n)
{
	shim->missed[reason] += n;
}

static void http_count_requests(struct task_struct *task, struct http_tally *tally, __u64 n)
{
	shim->counted += n;
}

static int http_greeted_tls(__u16 port)
{
	(void)port;
	http_miss(HTTP_MISSED_TLS_UNSEEN, 1);
	return 0;
}

static int http_joined_tls(void)
{
	return 0;
}

static void http_expect_counts(struct task_struct *task, struct http_tally *tally)
{
}

static void http_count_exchange(struct task_struct *task, struct http_tally *tally,
				const struct http_exchange *exchange)
{
	shim->counted++;
}

/* ---- the library ---- */

/*
 * With `fast`, heads are taken at once where they can be, as in the kernel; or else never. With `scatter`,
 * some transfers go over several buffers. With `forgetful`, maps lose something now and then.
 */
struct shim *shim_new(int fast, int scatter, int forgetful)
{
	struct shim *new = grown(NULL, sizeof(*new));

	memset(new, 0, sizeof(*new));
	/* What other connections have left. */
	memset(&new->scratch, 0xa5, sizeof(new->scratch));
	new->fast = fast;
	new->scatter = scatter;
	new->forgetful = forgetful;
	return new;
}

void shim_free(struct shim *old)
{
	free(old->known);
	free(old->spilled);
	free(old->memory);
	free(old->events);
	free(old);
}

size_t shim_events(const struct shim *of, const struct shim_event **out)
{
	*out = of->events;
	return of->count;
}

size_t shim_taken(const struct shim *of)
{
	return of->taken;
}

/* What it took to follow all transfers. */
size_t shim_steps(const struct shim *of)
{
	return of->steps;
}

/* One more than the bytes that were received or sent before HTTP/2 began; 0 if it never did. */
size_t shim_switched(const struct shim *of, int sent)
{
	return of->switched[sent ? HTTP_SEND : HTTP_RECEIVE];
}

/* Requests whose answers will not be seen. */
size_t shim_unbounded(const struct shim *of)
{
	return of->missed[HTTP_MISSED_UNBOUNDED];
}

/* How often bytes that could be read could not be followed. */
size_t shim_lost(const struct shim *of)
{
	return of->missed[HTTP_MISSED_REQUESTS_LOST] + of->missed[HTTP_MISSED_RESPONSES_LOST] +
	       of->missed[HTTP_MISSED_TOO_LONG];
}

/*
 * The bytes lie in one buffer, which may be larger and has been used before, or are scattered over several, some of
 * which are empty.
 */
static void shim_scatter(struct http_transfer *transfer, size_t length)
{
	static const size_t sizes[] = { 1, 8, 9, 100, HTTP_WINDOW, HTTP_WINDOW + 1, 3000 };
	uint64_t random = (shim->clock ^ length << 8) * 0x9e3779b97f4a7c15ULL >> 20;
	uint8_t *data = shim->memory;
	size_t i, size;

	if (random % 2) {
		http_set_buffer(transfer, (uintptr_t)data, length);
		return;
	}
	length += shim_soil(data + length, sizeof(shim_stale));
	if (!shim->scatter || random % 4) {
		shim->iovecs[0] = (struct iovec){ data, length };
		http_set_vector(transfer, (uintptr_t)shim->iovecs, 1);
		return;
	}
	for (i = 0; i < SHIM_IOVECS; i++) {
		random /= 5;
		size = i % 4 == 1 ? 0 : sizes[random % (sizeof(sizes) / sizeof(*sizes))];
		if (size > length || i == SHIM_IOVECS - 1)
			size = length;
		shim->iovecs[i] = (struct iovec){ data, size };
		data += size;
		length -= size;
	}
	http_set_vector(transfer, (uintptr_t)shim->iovecs, SHIM_IOVECS);
}

/* Without data, a receive is into memory that cannot be read, and a send is from none at all. */
static struct http_transfer *shim_begin(struct shim *with, enum http_direction direction, const uint8_t *data,
					size_t length)
{
	struct http_transfer *transfer;

	shim = with;
	shim->clock++;
	shim->absent = !data;
	transfer = http_transfer_of(direction, length);
	transfer->inode = shim->known != NULL;
	if (data) {
		shim->memory = grown(shim->memory, length + sizeof(shim_stale));
		memcpy(shim->memory, data, length);
		shim_scatter(transfer, length);
	} else if (direction == HTTP_RECEIVE) {
		http_set_buffer(transfer, 0, length);
	}
	return transfer;
}

static void shim_end(struct http_transfer *transfer, enum http_direction direction)
{
	static const struct http_endpoint endpoint;

	if (http_wants(&endpoint, shim->known, direction))
		http_transferred(&some_process, &endpoint, shim->known, transfer, direction);
	shim->steps += transfer->steps;
	shim->moved[direction] += transfer->cursor.length;
	if (shim->counted + shim->missed[HTTP_MISSED_UNMATCHED] != shim->count)
		abort();
}

void shim_receive(struct shim *with, const uint8_t *data, size_t length)
{
	shim_end(shim_begin(with, HTTP_RECEIVE, data, length), HTTP_RECEIVE);
}

void shim_send(struct shim *with, const uint8_t *data, size_t length)
{
	shim_end(shim_begin(with, HTTP_SEND, data, length), HTTP_SEND);
}

/*
 * A receive from a TCP socket, of which the application has taken so many bytes by then since the first receive: by
 * whatever way, also those of another thread whose own receive is looked at later.
 */
void shim_receive_of(struct shim *with, const uint8_t *data, size_t length, uint32_t taken)
{
	struct http_transfer *transfer = shim_begin(with, HTTP_RECEIVE, data, length);
	struct sock sock = { .copied_seq = taken };

	struct http_endpoint endpoint = { .sk = &sock };

	if (shim->known)
		http_skip_hidden(&endpoint, shim->known, length);
	shim_end(transfer, HTTP_RECEIVE);
}

/* ---- what is asked of a stream that is not followed; eight bytes can be read in any case ---- */

int shim_may_begin(const uint8_t *window, size_t filled)
{
	return http1_may_begin(window, filled);
}

int shim_answers(const uint8_t *window, size_t filled)
{
	return http1_answers(window, filled);
}
