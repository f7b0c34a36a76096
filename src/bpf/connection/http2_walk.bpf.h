/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The walk of HTTP/2's state machine over a transfer: what frames.h takes at once a step, and what its events are
 * counted as. It loops on all kernels in the way that http1_walk.bpf.h has for older ones.
 */
#ifndef HTTP2_WALK_BPF_H
#define HTTP2_WALK_BPF_H

#include "connection/budget.bpf.h"
#include "connection/end.bpf.h"
#include "connection/http2_storage.bpf.h"
#include "connection/transfer.bpf.h"
#include "counters/missed.bpf.h"
#include "counters/processes.bpf.h"
#include "kernel/task.bpf.h"

/* What an event means, and who it counts for. It lies in the transfer, where a function finds it that the verifier proves once. */
struct http2_told {
	struct h2_exchange exchange;
	struct http_exchange counted;
	struct http2_stream_key key; /* of the connection in any case */
	struct http_tally tally;
	bool refuted; /* it is none of HTTP/2 */
};

static __always_inline struct http2_told *http2_told_of(struct http_transfer *transfer)
{
	_Static_assert(sizeof(struct http2_told) <= sizeof(transfer->scratch),
		       "what is told fits into the scratch space");
	return (struct http2_told *)transfer->scratch;
}

/* The connection is none of HTTP/2. What it is will be seen anew, though not for ever. */
static __always_inline void http2_refute(const struct http_endpoint *endpoint, struct http_connection *conn)
{
	conn->id = 0;
	conn->protocol = HTTP_PROTOCOL_HTTP1;
	http_looked_in_vain(endpoint, HTTP_NOT_HTTP);
}

static __always_inline void http2_miss(__u32 outcome)
{
	if (outcome & H2_ABANDONED)
		http_miss(HTTP_MISSED_CANCELLED, 1);
	if (outcome & H2_REFUSED)
		http_miss(HTTP_MISSED_RESET, 1);
	if (outcome & H2_UNMATCHED)
		http_miss(HTTP_MISSED_UNMATCHED, 1);
	if (outcome & H2_JOINED_LATE)
		http_miss(HTTP_MISSED_JOINED_LATE, 1);
	if (outcome & H2_TABLE_AGED)
		http_miss(HTTP_MISSED_HPACK_TABLE, 1);
}

/* Counts what an event means. A global function, which the verifier proves once. */
__noinline int http2_count_told(__u32 direction)
{
	struct http_transfer *transfer = http_transfer_here(direction);
	struct task_struct *task = http_current_task();
	struct http_exchange *counted;
	struct h2_exchange *out;
	struct http2_told *told;
	__u32 outcome;

	if (!transfer)
		return 0;
	told = http2_told_of(transfer);
	out = &told->exchange;
	outcome = out->outcome;
	counted = &told->counted;
	counted->duration = out->duration;
	counted->version = out->version;
	if (outcome & H2_REQUESTS)
		http_count_settled_requests(task, &told->tally, out->requests);
	if (outcome & H2_RESPONSE) {
		counted->status = out->status ?: HTTP_STATUS_UNKNOWN;
		counted->method = out->method;
		http_count_exchange(task, &told->tally, counted);
	}
	if (outcome & H2_CALL) {
		counted->status = HTTP_GRPC_STATUS(out->grpc);
		counted->method = HTTP_METHOD_GRPC;
		http_count_call(task, &told->tally, counted);
	}
	http2_miss(outcome);
	return 0;
}

enum {
	/* At most: an event ends a call. So there are as many calls as there may be steps, which the transfer counts. */
	HTTP2_STEPS_A_CALL = 4,
};

/* What is to be done after some steps: several of these at once. */
enum http2_next {
	HTTP2_OVER = 1 << 0,  /* nothing more: the walk ends here */
	HTTP2_COUNT = 1 << 1, /* to count what was told, which is left to who has more room on the stack */
};

/* An event has come, which is none of those that only the walk is about. Returns enum http2_next. */
static __always_inline __u32 http2_happened(struct h2_connection *h2, struct http_transfer *transfer,
					    enum h2_event event, enum http_direction direction)
{
	struct http2_told *told = http2_told_of(transfer);
	struct h2_exchange *out = &told->exchange;
	struct h2_direction *d = direction == HTTP_RECEIVE ? &h2->request : &h2->response;
	/* What is received asks for no other slot. */
	__u32 id = direction == HTTP_SEND || event == H2_RESET ? h2_stream_of(d, event) : 0, outcome;
	struct h2_stream *slot = http2_find(h2, id, &told->key);

	if (direction == HTTP_RECEIVE)
		h2_received(h2, event, slot, transfer->cursor.now, out);
	else
		h2_sent(h2, event, slot, transfer->cursor.now, out);
	outcome = out->outcome;
	if (!outcome)
		return 0;
	if (outcome & H2_HOLDS)
		http2_hold(h2, &out->stream, &told->key);
	/* Who has counted so many at the same time may have had some in the third place. */
	if (outcome & H2_FREES && slot != h2_slot(h2, id))
		http2_free(id, &told->key);
	if (!(outcome & H2_REFUTED))
		return HTTP2_COUNT;
	told->refuted = true;
	return HTTP2_OVER;
}

static __always_inline void http2_lose(enum http_direction direction)
{
	http_miss(direction == HTTP_RECEIVE ? HTTP_MISSED_REQUESTS_LOST : HTTP_MISSED_RESPONSES_LOST, 1);
}

/* A step. A function, so that its ways do not multiply those of the steps behind it, nor of what its events mean. */
static __noinline enum h2_event http2_advance(struct h2_direction *d, struct http_transfer *transfer)
{
	return h2_advance(d, &transfer->cursor, transfer->window);
}

/* More bytes at the cursor, or the event that there are none. Another function, for the room on the stack. */
static __noinline enum h2_event http2_fill(struct h2_direction *d, struct http_transfer *transfer)
{
	enum h2_event event;

	if (http_fill_some(transfer, h2_wants(d)) > 0)
		return H2_NOTHING;
	event = h2_lose(d);
	if (event == H2_LOSS)
		http_miss(HTTP_MISSED_UNREADABLE, 1);
	return event;
}

/* Some steps, and what the last has told. To look up the state anew for each would take longer than the step. Returns enum http2_next. */
static __always_inline __u32 http2_some_steps(enum http_direction direction)
{
	struct http_transfer *transfer = http_transfer_here(direction);
	struct h2_connection *h2 = transfer ? http2_of(&http2_told_of(transfer)->key.id) : NULL;
	enum h2_event event = H2_NOTHING;
	struct h2_direction *d;
	__u32 next = 0, i;

	if (!transfer || !h2)
		return HTTP2_OVER;
	d = direction == HTTP_RECEIVE ? &h2->request : &h2->response;
	for (i = 0; i < HTTP2_STEPS_A_CALL; i++) {
		asm volatile("" : "+r"(i)); /* older kernels refuse a loop that clang has turned inside out */
		if (http_walk_is_over(transfer))
			return HTTP2_OVER;
		event = http2_advance(d, transfer);
		if (event == H2_LOSS && h2->shown)
			http2_lose(direction);
		if (event == H2_WINDOW_END)
			event = http2_fill(d, transfer);
		if (event != H2_NOTHING)
			break;
	}
	if (event != H2_NOTHING)
		next = http2_happened(h2, transfer, event, direction);
	return http_walk_has_ended(transfer) ? next | HTTP2_OVER : next;
}

__noinline int http2_step_requests(void)
{
	return http2_some_steps(HTTP_RECEIVE);
}

__noinline int http2_step_responses(void)
{
	return http2_some_steps(HTTP_SEND);
}

/* Those, and the counting of what they have told: 1 if no more is to be done. */
static __always_inline int http2_counted_steps(enum http_direction direction)
{
	__u32 next = direction == HTTP_RECEIVE ? http2_step_requests() : http2_step_responses();

	if (next & HTTP2_COUNT)
		http2_count_told(direction);
	return next & HTTP2_OVER;
}

__noinline int http2_count_requests(void)
{
	return http2_counted_steps(HTTP_RECEIVE);
}

__noinline int http2_count_responses(void)
{
	return http2_counted_steps(HTTP_SEND);
}

/* Calls those in a loop, which are proven once. */
static __always_inline int http2_many_steps(enum http_direction direction)
{
	__u32 i;

	for (i = 0; i < HTTP_STEPS / HTTP_CALLS; i++)
		if (direction == HTTP_RECEIVE ? http2_count_requests() : http2_count_responses())
			return 1;
	return 0;
}

__noinline int http2_walk_requests(void)
{
	return http2_many_steps(HTTP_RECEIVE);
}

__noinline int http2_walk_responses(void)
{
	return http2_many_steps(HTTP_SEND);
}

/* A transfer takes longer than any may. A global function, as those before. */
__noinline int http2_give_up(__u32 direction)
{
	struct http_transfer *transfer = http_transfer_here(direction);
	struct h2_connection *h2 = transfer ? http2_of(&http2_told_of(transfer)->key.id) : NULL;
	__u32 next;

	if (!transfer || !h2)
		return 0;
	if (direction == HTTP_RECEIVE ? h2->request.state == H2_LOST : h2->response.state == H2_LOST)
		return 0;
	http_miss(HTTP_MISSED_TOO_LONG, 1);
	next = direction == HTTP_RECEIVE ? http2_happened(h2, transfer, h2_lose(&h2->request), HTTP_RECEIVE) :
					   http2_happened(h2, transfer, h2_lose(&h2->response), HTTP_SEND);
	if (next & HTTP2_COUNT)
		http2_count_told(direction);
	return 0;
}

static __always_inline void http2_walk(struct http_transfer *transfer, enum http_direction direction)
{
	__u32 i;

	for (i = 0; i < HTTP_CALLS; i++)
		if (direction == HTTP_RECEIVE ? http2_walk_requests() : http2_walk_responses())
			break;
	if (!http2_told_of(transfer)->refuted && transfer->cursor.at < transfer->cursor.length)
		http2_give_up(direction);
}

#endif /* HTTP2_WALK_BPF_H */
