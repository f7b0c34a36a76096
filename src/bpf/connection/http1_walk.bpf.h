/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The walk of HTTP/1's state machine over a transfer: one byte, one word, or one whole head a step.
 *
 * A transfer may be as long as somebody likes, and a program runs with preemption off. So it takes only so many
 * steps, beyond which the stream is lost, and picked up again where a message starts at the start of a transfer.
 *
 * A loop that long needs a construct of its own. Where state lies in socket storage that is the kernel's
 * open-coded iterator. Older kernels have none, nor do they accept a program that so much as mentions
 * bpf_loop's callback. What they have is global functions, proven once and on their own, however often
 * they are called: a few steps, called by a loop, called by another. The verifier goes
 * through the sum of their turns, where the walk has the product. No pointer can be handed to them, so that
 * they find transfer and connection in the maps, and therefore take a few steps.
 */
#ifndef HTTP1_WALK_BPF_H
#define HTTP1_WALK_BPF_H

#include "connection/budget.bpf.h"
#include "connection/http1_spill.bpf.h"
#include "connection/state.h"
#include "connection/storage.bpf.h"
#include "connection/transfer.bpf.h"
#include "counters/missed.bpf.h"
#include "counters/processes.bpf.h"
#include "kernel/task.bpf.h"
#include "protocol/http1/fast.h"

enum {
	/* What takes longer than a step counts as more. */
	HTTP_HEAD_STEPS = 2,
	HTTP_HEAD_BYTES_A_STEP = 16,
	HTTP_SPILL_STEPS = 3,
	HTTP_ANSWER_STEPS = 2,
};

/* A direction can no longer be followed. */
static __always_inline void http1_lose_requests(struct http1_connection *conn, enum http_reason reason)
{
	if (http1_lose(&conn->request) == HTTP1_LOSS)
		http_miss(reason, 1);
}

static __always_inline void http1_lose_responses(struct http1_connection *conn, enum http_reason reason)
{
	if (http1_lose(&conn->response) == HTTP1_LOSS)
		http_miss(reason, 1);
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
		http_count_exchange(task, &conn->tally, exchange);
	} else if (answer == HTTP1_UNMATCHED) {
		http_miss(HTTP_MISSED_UNMATCHED, 1);
	}
}

/* What the fast path has found lies in the transfer. */
static __always_inline struct http1_head *http1_head_of(struct http_transfer *transfer)
{
	_Static_assert(sizeof(struct http1_head) <= sizeof(transfer->scratch),
		       "a head fits into the scratch space");
	return (struct http1_head *)transfer->scratch;
}

/*
 * Global functions, which the verifier proves once and on their own: whatever they found out about the
 * window lies in the transfer, and nothing of it multiplies the ways through the callers.
 */
__noinline int http1_find_request_head(void)
{
	struct http_transfer *transfer = http_transfer_here(HTTP_RECEIVE);

	if (!transfer)
		return -1;
	return http1_fast_request(http1_head_of(transfer), transfer->window, &transfer->cursor);
}

__noinline int http1_find_response_head(void)
{
	struct http_transfer *transfer = http_transfer_here(HTTP_SEND);

	if (!transfer)
		return -1;
	return http1_fast_response(http1_head_of(transfer), transfer->window, &transfer->cursor);
}

/* A request line is complete. */
static __always_inline void http1_take_line(struct http_connection *conn, struct http_transfer *transfer,
					    enum http1_place place, const struct http1_run *run)
{
	transfer->requests++;
	if (place == HTTP1_OVERFLOW) {
		transfer->steps += HTTP_SPILL_STEPS;
		http_spill_run(conn, run);
	}
}

/* Takes the request head at the cursor, if it is whole in the window, and usual. */
static __always_inline bool http1_take_request_head(struct http_connection *conn,
						    struct http_transfer *transfer)
{
	struct http1_run run;

	if (http1_find_request_head())
		return false;
	http1_take_line(conn, transfer,
			http1_take_request(&conn->http1, &transfer->cursor, http1_head_of(transfer), &run),
			&run);
	return true;
}

/* Takes the response head at the cursor, likewise. */
static __always_inline bool http1_take_response_head(struct task_struct *task, struct http_connection *conn,
						     struct http_transfer *transfer)
{
	struct http_exchange exchange = {};

	if (http1_find_response_head())
		return false;
	http1_answered(task, conn,
		       http1_take_response(&conn->http1, &transfer->cursor, http1_head_of(transfer),
					   &exchange),
		       &exchange);
	return true;
}

/* More bytes at the cursor. A function, so that its ways do not multiply those of the steps. */
static __noinline bool http1_fill(struct http_transfer *transfer)
{
	return http_fill(transfer) > 0;
}

/* Whether to look for a whole head at the cursor, between messages in the middle of a transfer. */
static __always_inline bool http1_looks_for_head(const struct http1_stream *s, struct http_transfer *transfer)
{
	struct http_cursor *cur = &transfer->cursor;

	if (s->state != HTTP1_START || s->match || transfer->refused == cur->at + 1)
		return false;
	return cur->at - cur->base < cur->filled || http1_fill(transfer);
}

/* One was taken at once, which began at an offset of the transfer. */
static __always_inline bool http1_took_head(struct http_transfer *transfer, __u64 from)
{
	transfer->steps += HTTP_HEAD_STEPS + (transfer->cursor.at - from) / HTTP_HEAD_BYTES_A_STEP;
	return true;
}

/*
 * There was none. A window that ends before the transfer does is filled anew from the cursor, which takes the step;
 * what is no whole head then is left to the bytes. Where one was in this window, most of what is left of it goes first.
 */
static __always_inline bool http1_looks_again(struct http_transfer *transfer)
{
	struct http_cursor *cur = &transfer->cursor;
	__u64 used = cur->at - cur->base;

	if (used > (transfer->refused > cur->base ? HTTP_WINDOW / 2 : 0) &&
	    cur->base + cur->filled < cur->length && http1_fill(transfer))
		return true;
	transfer->refused = cur->at + 1;
	return false;
}

/* Whether a head was looked for, and that was the step. */
static __noinline bool http1_step_request_head(struct http_connection *conn, struct http_transfer *transfer)
{
	__u64 from = transfer->cursor.at;

	if (!http1_looks_for_head(&conn->http1.request, transfer))
		return false;
	if (http1_take_request_head(conn, transfer))
		return http1_took_head(transfer, from);
	return http1_looks_again(transfer);
}

static __noinline bool http1_step_response_head(struct http_connection *conn, struct http_transfer *transfer)
{
	__u64 from = transfer->cursor.at;

	if (!http1_looks_for_head(&conn->http1.response, transfer))
		return false;
	if (http1_take_response_head(http_current_task(), conn, transfer)) {
		transfer->steps += HTTP_ANSWER_STEPS;
		return http1_took_head(transfer, from);
	}
	return http1_looks_again(transfer);
}

/* One step: true if it was the last. */
static __noinline bool http1_step_request(struct http_connection *conn, struct http_transfer *transfer)
{
	struct http_cursor *cur = &transfer->cursor;
	struct http1_run run;

	if (http_walk_is_over(transfer))
		return true;
	if (http1_step_request_head(conn, transfer))
		return false;
	switch (http1_advance(&conn->http1.request, cur, transfer->window)) {
	case HTTP1_REQUEST_LINE:
		http1_take_line(conn, transfer, http1_request(&conn->http1, cur->now, &run), &run);
		return false;
	case HTTP1_SWITCH:
		return true;
	case HTTP1_WINDOW_END:
		if (http1_fill(transfer))
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

	if (http_walk_is_over(transfer))
		return true;
	if (http1_step_response_head(conn, transfer))
		return false;
	switch (http1_advance(&conn->http1.response, cur, transfer->window)) {
	case HTTP1_STATUS_LINE:
		http1_answered(http_current_task(), conn, http1_response(&conn->http1, &exchange), &exchange);
		return false;
	case HTTP1_SWITCH:
		return true;
	case HTTP1_WINDOW_END:
		if (http1_fill(transfer))
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
	struct http_transfer *transfer = http_transfer_here(direction);
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

__noinline int http1_step_requests(void)
{
	return http1_some_steps(HTTP_RECEIVE);
}

__noinline int http1_step_responses(void)
{
	return http1_some_steps(HTTP_SEND);
}

/* The second of them: calls the first in a loop, until it says that there is no more to do. */
static __always_inline int http1_many_steps(enum http_direction direction)
{
	__u32 i;

	for (i = 0; i < HTTP_CALLS; i++)
		if (direction == HTTP_RECEIVE ? http1_step_requests() : http1_step_responses())
			return 1;
	return 0;
}

__noinline int http1_walk_requests(void)
{
	return http1_many_steps(HTTP_RECEIVE);
}

__noinline int http1_walk_responses(void)
{
	return http1_many_steps(HTTP_SEND);
}

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
	if (direction == HTTP_RECEIVE && conn->http1.request.state > HTTP1_SWITCHED)
		http1_lose_requests(&conn->http1, HTTP_MISSED_TOO_LONG);
	if (direction == HTTP_SEND && conn->http1.response.state > HTTP1_SWITCHED)
		http1_lose_responses(&conn->http1, HTTP_MISSED_TOO_LONG);
}

#endif /* HTTP1_WALK_BPF_H */
