/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The walk of the state machine over a transfer, as many steps as it takes: one byte or one word each.
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

/* Where the state of connections lies; set by user space before the programs are loaded. */
const volatile bool http_in_storage;

/* The includer's: the connection of a socket by its inode's number, where state lies in a hash. */
static struct http1_connection *http_connection_by_inode(__u64 inode);

/* For what was received before there is a connection. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http1_connection);
} http_scratch SEC(".maps");

/* No transfer needs more steps than it has bytes; one that needs more than all these is lost. */
enum {
	HTTP_STEPS_A_CALL = 1 << 2,
	HTTP_CALLS = 1 << 6,
	HTTP_STEPS = HTTP_STEPS_A_CALL * HTTP_CALLS * HTTP_CALLS * HTTP_CALLS,
};

/* The requests of a connection can no longer be followed. */
static __always_inline void http_lose_requests(struct http1_connection *conn)
{
	if (http1_lose(&conn->request) == HTTP1_LOSS)
		http_miss(requests_lost, 1);
}

static __always_inline void http_lose_responses(struct http1_connection *conn)
{
	if (http1_lose(&conn->response) == HTTP1_LOSS)
		http_miss(responses_lost, 1);
	http1_forget(conn);
}

static __always_inline void http_lose_unreadable_responses(struct http1_connection *conn)
{
	http_miss(unreadable, 1);
	http1_lose(&conn->response);
	http1_forget(conn);
}

/* One step: true if it was the last. */
static __noinline bool http_step_request(struct http1_connection *conn, struct http_transfer *transfer)
{
	struct http1_cursor *cur = &transfer->cursor;

	if (cur->at >= cur->length)
		return true;
	switch (http1_advance(&conn->request, cur, transfer->window)) {
	case HTTP1_REQUEST_LINE:
		http1_request(conn, cur->now);
		transfer->requests++;
		return false;
	case HTTP1_WINDOW_END:
		if (http_fill(transfer) > 0)
			return false;
		http_miss(unreadable, 1);
		http1_lose(&conn->request);
		return true;
	case HTTP1_LOSS:
		http_miss(requests_lost, 1);
		return true;
	default:
		return false;
	}
}

/* A final response has begun. */
static __always_inline void http_answered(struct task_struct *task, enum http1_answer answer,
					  const struct http1_exchange *exchange)
{
	if (answer == HTTP1_FINAL)
		http_count_exchange(task, exchange);
	else if (answer == HTTP1_UNMATCHED)
		http_miss(unmatched, 1);
}

static __noinline bool http_step_response(struct http1_connection *conn, struct http_transfer *transfer)
{
	struct http1_cursor *cur = &transfer->cursor;
	struct http1_exchange exchange = {};

	if (cur->at >= cur->length)
		return true;
	switch (http1_advance(&conn->response, cur, transfer->window)) {
	case HTTP1_STATUS_LINE:
		http_answered(http_current_task(), http1_response(conn, &exchange), &exchange);
		return false;
	case HTTP1_WINDOW_END:
		if (http_fill(transfer) > 0)
			return false;
		http_lose_unreadable_responses(conn);
		return true;
	case HTTP1_LOSS:
		http_miss(responses_lost, 1);
		http1_forget(conn);
		return true;
	default:
		return false;
	}
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

static __always_inline struct http1_connection *http_walked(const struct http_transfer *transfer)
{
	__u32 key = 0;

	if (transfer->inode)
		return http_connection_by_inode(transfer->inode);
	return bpf_map_lookup_elem(&http_scratch, &key);
}

__noinline int http_step_requests(void)
{
	__u32 key = HTTP_RECEIVE;
	struct http_transfer *transfer = bpf_map_lookup_elem(&http_transfers, &key);
	struct http1_connection *conn;
	__u32 i;

	if (!transfer)
		return 1;
	conn = http_walked(transfer);
	if (!conn)
		return 1;
	for (i = 0; i < HTTP_STEPS_A_CALL; i++) {
		asm volatile("" : "+r"(i)); /* older kernels refuse a loop that clang has turned inside out */
		if (http_step_request(conn, transfer))
			return 1;
	}
	return 0;
}

HTTP_LOOP(http_stride_requests, http_step_requests)
HTTP_LOOP(http_walk_requests, http_stride_requests)

__noinline int http_step_responses(void)
{
	__u32 key = HTTP_SEND;
	struct http_transfer *transfer = bpf_map_lookup_elem(&http_transfers, &key);
	struct http1_connection *conn;
	__u32 i;

	if (!transfer)
		return 1;
	conn = http_walked(transfer);
	if (!conn)
		return 1;
	for (i = 0; i < HTTP_STEPS_A_CALL; i++) {
		asm volatile("" : "+r"(i));
		if (http_step_response(conn, transfer))
			return 1;
	}
	return 0;
}

HTTP_LOOP(http_stride_responses, http_step_responses)
HTTP_LOOP(http_walk_responses, http_stride_responses)

/* The rest of a receive. */
static __always_inline void http_walk_receive(struct http1_connection *conn, struct http_transfer *transfer)
{
	struct http1_cursor *cur = &transfer->cursor;
	__u32 i;

	if (http_in_storage) {
		bpf_repeat (HTTP_STEPS)
			if (http_step_request(conn, transfer))
				break;
	} else {
		for (i = 0; i < HTTP_CALLS; i++)
			if (http_walk_requests())
				break;
	}
	if (cur->at < cur->length && conn->request.state != HTTP1_LOST)
		http_lose_requests(conn);
}

/* The rest of a send. */
static __always_inline void http_walk_send(struct http1_connection *conn, struct http_transfer *transfer)
{
	struct http1_cursor *cur = &transfer->cursor;
	__u32 i;

	if (http_in_storage) {
		bpf_repeat (HTTP_STEPS)
			if (http_step_response(conn, transfer))
				break;
	} else {
		for (i = 0; i < HTTP_CALLS; i++)
			if (http_walk_responses())
				break;
	}
	if (cur->at < cur->length && conn->response.state != HTTP1_LOST)
		http_lose_responses(conn);
}

#endif /* WALK_BPF_H */
