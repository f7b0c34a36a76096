/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* From the bytes of an HTTP/1 connection's transfer to requests, responses and their counters. */
#ifndef HTTP1_BPF_H
#define HTTP1_BPF_H

#include "connection/walk.bpf.h"

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
	__u32 key = HTTP_RECEIVE;
	struct http_transfer *transfer = bpf_map_lookup_elem(&http_transfers, &key);

	if (!transfer)
		return -1;
	return http1_fast_request(http1_head_of(transfer), transfer->window, transfer->cursor.filled);
}

__noinline int http1_find_response_head(void)
{
	__u32 key = HTTP_SEND;
	struct http_transfer *transfer = bpf_map_lookup_elem(&http_transfers, &key);

	if (!transfer)
		return -1;
	return http1_fast_response(http1_head_of(transfer), transfer->window, transfer->cursor.filled);
}

/* Whether the state machine has to walk on, once a body has been skipped. */
static __always_inline bool http1_walks_on(struct http1_stream *s, struct http_cursor *cur)
{
	if (cur->at < cur->length && s->state == HTTP1_BODY)
		http1_skip(s, cur);
	return cur->at < cur->length;
}

/* The requests of a transfer, counted. */
static __always_inline void http1_receive(struct task_struct *task, struct http_connection *conn,
					  struct http_transfer *transfer)
{
	struct http_cursor *cur = &transfer->cursor;
	struct http1_run run;

	http1_begin(&conn->http1.request);
	if (http1_expects_head(&conn->http1.request)) {
		cur->now = bpf_ktime_get_ns();
		if ((cur->filled || http_fill(transfer) > 0) && !http1_find_request_head()) {
			http_place_run(conn,
				       http1_take_request(&conn->http1, cur, http1_head_of(transfer), &run),
				       &run);
			transfer->requests = 1;
		}
	}
	if (http1_walks_on(&conn->http1.request, cur))
		http1_walk(conn, transfer, HTTP_RECEIVE);
	if (transfer->requests)
		http_count_requests(task, transfer->requests);
}

/* Bytes were received that could not be seen. */
static __always_inline void http1_receive_hidden(struct http1_connection *conn, __u64 length)
{
	if (http1_hides_more(&conn->request, length))
		http1_lose_requests(conn);
}

/* The responses of a transfer, counted. */
static __always_inline void http1_send(struct task_struct *task, struct http_connection *conn,
				       struct http_transfer *transfer)
{
	struct http_cursor *cur = &transfer->cursor;
	struct http_exchange exchange = {};

	http1_begin(&conn->http1.response);
	if (http1_expects_head(&conn->http1.response)) {
		cur->now = bpf_ktime_get_ns();
		if (http_fill(transfer) > 0 && !http1_find_response_head())
			http1_answered(task, conn,
				       http1_take_response(&conn->http1, cur, http1_head_of(transfer),
							   &exchange),
				       &exchange);
	}
	if (http1_walks_on(&conn->http1.response, cur))
		http1_walk(conn, transfer, HTTP_SEND);
}

/* Bytes were sent that cannot be seen. */
static __always_inline void http1_send_hidden(struct http1_connection *conn, __u64 length)
{
	http1_begin(&conn->response);
	if (http1_hides_more(&conn->response, length))
		http1_lose_unreadable_responses(conn);
}

/*
 * Whether what a stream begins with, as far as is known, made a connection: worth keeping if it ends within
 * or after a request.
 */
static __always_inline bool http1_first_receive(struct task_struct *task, struct http_connection *conn,
						struct http_transfer *transfer)
{
	http1_init(&conn->http1);
	http1_receive(task, conn, transfer);
	return conn->http1.request.state != HTTP1_LOST || transfer->requests;
}

#endif /* HTTP1_BPF_H */
