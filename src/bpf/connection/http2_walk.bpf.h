/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The walk of HTTP/2's state machine over a transfer: a frame's head, a skip, or an octet of a block a step, and what its events are
 * counted as. http1_walk.bpf.h says why there are two ways to loop.
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
	struct http_tally tally;
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
	struct http_transfer *transfer = bpf_map_lookup_elem(&http_transfers, &direction);
	struct task_struct *task = http_current_task();
	struct http_exchange exchange = {};
	struct h2_exchange *out;
	struct http2_told *told;
	__u32 outcome;

	if (!transfer)
		return 0;
	told = http2_told_of(transfer);
	out = &told->exchange;
	outcome = out->outcome;
	exchange.duration = out->duration;
	exchange.version = HTTP_VERSION_2;
	if (outcome & H2_REQUESTS)
		http_count_settled_requests(task, &told->tally, out->requests);
	if (outcome & H2_RESPONSE) {
		exchange.status = out->status ?: HTTP_STATUS_UNKNOWN;
		exchange.method = out->method;
		http_count_exchange(task, &told->tally, &exchange);
	}
	if (outcome & H2_CALL) {
		exchange.status = HTTP_GRPC_STATUS(out->grpc);
		exchange.method = HTTP_METHOD_GRPC;
		http_count_call(task, &told->tally, &exchange);
	}
	http2_miss(outcome);
	return 0;
}

static __always_inline void http2_count(struct http_connection *conn, struct http_transfer *transfer,
					enum http_direction direction)
{
	struct http2_told *told = http2_told_of(transfer);

	told->tally = conn->tally;
	http2_count_told(direction);
	conn->tally = told->tally;
}

/* An event has come, which is none of those that only the walk is about. False if the connection is none any more. */
static __always_inline bool http2_happened(const struct http_endpoint *endpoint, struct http_connection *conn,
					   struct h2_connection *h2, struct http_transfer *transfer,
					   enum h2_event event, enum http_direction direction)
{
	struct h2_exchange *out = &http2_told_of(transfer)->exchange;
	struct h2_direction *d = direction == HTTP_RECEIVE ? &h2->request : &h2->response;
	__u32 id = h2_stream_of(d, event), outcome;
	struct h2_stream *slot = http2_find(endpoint, conn, h2, id);

	if (direction == HTTP_RECEIVE)
		h2_received(h2, event, slot, transfer->cursor.now, out);
	else
		h2_sent(h2, event, slot, transfer->cursor.now, out);
	outcome = out->outcome;
	if (!outcome)
		return true;
	http2_count(conn, transfer, direction);
	if (outcome & H2_HOLDS)
		http2_hold(endpoint, conn, h2, &out->stream);
	/* Who has counted so many at the same time may have had some in the third place. */
	if (outcome & H2_FREES && slot != h2_slot(h2, id))
		http2_free(conn, id);
	if (!(outcome & H2_REFUTED))
		return true;
	http2_refute(endpoint, conn);
	return false;
}

static __always_inline void http2_lose(enum http_direction direction)
{
	http_miss(direction == HTTP_RECEIVE ? HTTP_MISSED_REQUESTS_LOST : HTTP_MISSED_RESPONSES_LOST, 1);
}

/* One step: true if it was the last. */
static __always_inline bool http2_step(const struct http_endpoint *endpoint, struct http_connection *conn,
				       struct h2_connection *h2, struct http_transfer *transfer,
				       enum http_direction direction)
{
	struct h2_direction *d = direction == HTTP_RECEIVE ? &h2->request : &h2->response;
	enum h2_event event;

	if (http_walk_is_over(transfer))
		return true;
	event = h2_advance(d, &transfer->cursor, transfer->window);
	if (event == H2_NOTHING)
		return false;
	if (event == H2_WINDOW_END) {
		if (http_fill_some(transfer, h2_wants(d)) > 0)
			return false;
		event = h2_lose(d);
		if (event == H2_LOSS)
			http_miss(HTTP_MISSED_UNREADABLE, 1);
	} else if (event == H2_LOSS && h2->shown) {
		http2_lose(direction);
	}
	return !http2_happened(endpoint, conn, h2, transfer, event, direction);
}

static __noinline bool http2_step_request(const struct http_endpoint *endpoint, struct http_connection *conn,
					  struct h2_connection *h2, struct http_transfer *transfer)
{
	return http2_step(endpoint, conn, h2, transfer, HTTP_RECEIVE);
}

static __noinline bool http2_step_response(const struct http_endpoint *endpoint, struct http_connection *conn,
					   struct h2_connection *h2, struct http_transfer *transfer)
{
	return http2_step(endpoint, conn, h2, transfer, HTTP_SEND);
}

/* The first of the global functions' turns: 1 if no more is to be done. */
static __always_inline int http2_some_steps(enum http_direction direction)
{
	__u32 key = direction;
	struct http_transfer *transfer = bpf_map_lookup_elem(&http_transfers, &key);
	struct http_endpoint endpoint = {};
	struct http_connection *conn;
	struct h2_connection *h2;
	__u32 i;

	if (!transfer)
		return 1;
	endpoint.inode = transfer->inode;
	conn = http_connection_by_inode(transfer->inode);
	h2 = http2_of(&endpoint);
	if (!conn || !h2)
		return 1;
	for (i = 0; i < HTTP_STEPS_A_CALL; i++) {
		asm volatile("" : "+r"(i)); /* older kernels refuse a loop that clang has turned inside out */
		/* In place: there is no room for one more frame on the stack. */
		if (http2_step(&endpoint, conn, h2, transfer, direction))
			return 1;
	}
	return 0;
}

__noinline int http2_step_requests(void)
{
	return http2_some_steps(HTTP_RECEIVE);
}

__noinline int http2_step_responses(void)
{
	return http2_some_steps(HTTP_SEND);
}

/* The second of them: calls the first in a loop, until it says that there is no more to do. */
static __always_inline int http2_many_steps(enum http_direction direction)
{
	__u32 i;

	for (i = 0; i < HTTP_CALLS; i++)
		if (direction == HTTP_RECEIVE ? http2_step_requests() : http2_step_responses())
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

static __always_inline void http2_walk(const struct http_endpoint *endpoint, struct http_connection *conn,
				       struct h2_connection *h2, struct http_transfer *transfer,
				       enum http_direction direction)
{
	struct h2_direction *d = direction == HTTP_RECEIVE ? &h2->request : &h2->response;
	__u32 i;

	if (http_in_storage) {
		bpf_repeat (HTTP_STEPS)
			if (direction == HTTP_RECEIVE ? http2_step_request(endpoint, conn, h2, transfer) :
							http2_step_response(endpoint, conn, h2, transfer))
				break;
	} else {
		for (i = 0; i < HTTP_CALLS; i++)
			if (direction == HTTP_RECEIVE ? http2_walk_requests() : http2_walk_responses())
				break;
	}
	if (!conn->id || transfer->cursor.at >= transfer->cursor.length || d->state == H2_LOST)
		return;
	http_miss(HTTP_MISSED_TOO_LONG, 1);
	http2_happened(endpoint, conn, h2, transfer, h2_lose(d), direction);
}

#endif /* HTTP2_WALK_BPF_H */
