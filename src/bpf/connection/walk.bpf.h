/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The walk of HTTP/1's state machine over a transfer, as many steps as it takes: one byte or one word each.
 *
 * A loop that long needs a construct of its own. Where state lies in socket storage that is the kernel's
 * open-coded iterator. Older kernels have none, nor do they accept a program that so much as mentions
 * bpf_loop's callback. What they have is global functions, proven once and on their own, however often
 * they are called: a few steps, called by a loop, called by another, called by a third. The verifier goes
 * through the sum of their turns, where the walk has the product. No pointer can be handed to them, so that
 * they find transfer and connection in the maps, and therefore take a few steps.
 */
#ifndef WALK_BPF_H
#define WALK_BPF_H

#include "capture/transfer.bpf.h"
#include "connection/spill.bpf.h"
#include "connection/storage.bpf.h"
#include "counters/processes.bpf.h"

/* No transfer needs more steps than it has bytes; one that needs more than all these is lost. */
enum {
	HTTP_STEPS_A_CALL = 1 << 2,
	HTTP_CALLS = 1 << 6,
	HTTP_STEPS = HTTP_STEPS_A_CALL * HTTP_CALLS * HTTP_CALLS * HTTP_CALLS,
};

/* A direction can no longer be followed. */
static __always_inline void http1_lose_requests(struct http1_connection *conn)
{
	if (http1_lose(&conn->request) == HTTP1_LOSS)
		http_miss(HTTP_MISSED_REQUESTS_LOST, 1);
}

static __always_inline void http1_lose_responses(struct http1_connection *conn)
{
	if (http1_lose(&conn->response) == HTTP1_LOSS)
		http_miss(HTTP_MISSED_RESPONSES_LOST, 1);
	http1_forget(conn);
}

static __always_inline void http1_lose_unreadable_responses(struct http1_connection *conn)
{
	http_miss(HTTP_MISSED_UNREADABLE, 1);
	http1_lose(&conn->response);
	http1_forget(conn);
}

/* A status line is complete, and what it means is known. */
static __always_inline void http1_answered(struct task_struct *task, struct http_connection *conn,
					   enum http1_answer answer, const struct http_exchange *exchange)
{
	if (answer == HTTP1_FINAL) {
		http_return_run(conn);
		http_count_exchange(task, exchange);
	} else if (answer == HTTP1_UNMATCHED) {
		http_miss(HTTP_MISSED_UNMATCHED, 1);
	}
}

/* One step: true if it was the last. */
static __noinline bool http1_step_request(struct http_connection *conn, struct http_transfer *transfer)
{
	struct http_cursor *cur = &transfer->cursor;
	struct http1_run run;

	if (cur->at >= cur->length)
		return true;
	switch (http1_advance(&conn->http1.request, cur, transfer->window)) {
	case HTTP1_REQUEST_LINE:
		http_place_run(conn, http1_request(&conn->http1, cur->now, &run), &run);
		transfer->requests++;
		return false;
	case HTTP1_WINDOW_END:
		if (http_fill(transfer) > 0)
			return false;
		http_miss(HTTP_MISSED_UNREADABLE, 1);
		http1_lose(&conn->http1.request);
		return true;
	case HTTP1_LOSS:
		http_miss(HTTP_MISSED_REQUESTS_LOST, 1);
		return true;
	default:
		return false;
	}
}

static __noinline bool http1_step_response(struct http_connection *conn, struct http_transfer *transfer)
{
	struct http_cursor *cur = &transfer->cursor;
	struct http_exchange exchange = {};

	if (cur->at >= cur->length)
		return true;
	switch (http1_advance(&conn->http1.response, cur, transfer->window)) {
	case HTTP1_STATUS_LINE:
		http1_answered(http_current_task(), conn, http1_response(&conn->http1, &exchange), &exchange);
		return false;
	case HTTP1_WINDOW_END:
		if (http_fill(transfer) > 0)
			return false;
		http1_lose_unreadable_responses(&conn->http1);
		return true;
	case HTTP1_LOSS:
		http_miss(HTTP_MISSED_RESPONSES_LOST, 1);
		http1_forget(&conn->http1);
		return true;
	default:
		return false;
	}
}

static __always_inline bool http1_step(struct http_connection *conn, struct http_transfer *transfer,
				       enum http_direction direction)
{
	return direction == HTTP_RECEIVE ? http1_step_request(conn, transfer) :
					   http1_step_response(conn, transfer);
}

/* The first of the global functions' turns: 1 if no more is to be done. */
static __always_inline int http1_some_steps(enum http_direction direction)
{
	__u32 key = direction;
	struct http_transfer *transfer = bpf_map_lookup_elem(&http_transfers, &key);
	struct http_connection *conn;
	__u32 i;

	if (!transfer)
		return 1;
	conn = transfer->inode ? http_connection_by_inode(transfer->inode) : http_scratch_connection();
	if (!conn)
		return 1;
	for (i = 0; i < HTTP_STEPS_A_CALL; i++) {
		asm volatile("" : "+r"(i)); /* older kernels refuse a loop that clang has turned inside out */
		if (http1_step(conn, transfer, direction))
			return 1;
	}
	return 0;
}

/* Calls a global function in a loop, until it says that there is no more to do. */
#define HTTP_LOOP(name, turn)                    \
	__noinline int name(void)                \
	{                                        \
		__u32 i;                         \
                                                 \
		for (i = 0; i < HTTP_CALLS; i++) \
			if (turn())              \
				return 1;        \
		return 0;                        \
	}

__noinline int http1_step_requests(void)
{
	return http1_some_steps(HTTP_RECEIVE);
}

HTTP_LOOP(http1_stride_requests, http1_step_requests)
HTTP_LOOP(http1_walk_requests, http1_stride_requests)

__noinline int http1_step_responses(void)
{
	return http1_some_steps(HTTP_SEND);
}

HTTP_LOOP(http1_stride_responses, http1_step_responses)
HTTP_LOOP(http1_walk_responses, http1_stride_responses)

/* The rest of a transfer. */
static __always_inline void http1_walk(struct http_connection *conn, struct http_transfer *transfer,
				       enum http_direction direction)
{
	struct http_cursor *cur = &transfer->cursor;
	__u32 i;

	if (!cur->now)
		cur->now = bpf_ktime_get_ns();
	if (http_in_storage) {
		bpf_repeat (HTTP_STEPS)
			if (http1_step(conn, transfer, direction))
				break;
	} else {
		for (i = 0; i < HTTP_CALLS; i++)
			if (direction == HTTP_RECEIVE ? http1_walk_requests() : http1_walk_responses())
				break;
	}
	if (cur->at >= cur->length)
		return;
	if (direction == HTTP_RECEIVE && conn->http1.request.state != HTTP1_LOST)
		http1_lose_requests(&conn->http1);
	if (direction == HTTP_SEND && conn->http1.response.state != HTTP1_LOST)
		http1_lose_responses(&conn->http1);
}

#endif /* WALK_BPF_H */
