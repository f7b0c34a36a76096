/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* From the bytes of an HTTP/1 connection's transfer to requests, responses and their counters. */
#ifndef HTTP1_BPF_H
#define HTTP1_BPF_H

#include "connection/http1_walk.bpf.h"
#include "connection/state.h"
#include "connection/transfer.bpf.h"
#include "counters/processes.bpf.h"
#include "protocol/http1/fast.h"

/* Whether the state machine has to walk on, once a body has been skipped. */
static __always_inline bool http1_walks_on(struct http1_stream *s, struct http_cursor *cur)
{
	if (cur->at < cur->length && s->state == HTTP1_BODY)
		http1_skip(s, cur);
	return cur->at < cur->length;
}

/* The requests of a transfer, counted. Whether there is HTTP/2 at the cursor then. */
static __always_inline bool http1_receive(struct task_struct *task, struct http_connection *conn,
					  struct http_transfer *transfer)
{
	struct http_cursor *cur = &transfer->cursor;

	http1_begin(&conn->http1.request);
	if (http1_expects_head(&conn->http1.request)) {
		cur->now = bpf_ktime_get_ns();
		if (cur->filled || http_fill(transfer) > 0)
			http1_take_request_head(conn, transfer);
	}
	if (http1_walks_on(&conn->http1.request, cur)) {
		http1_walk(conn, transfer, HTTP_RECEIVE);
		if (conn->http1.request.state == HTTP1_SWITCHED)
			return true;
	}
	if (!transfer->requests)
		return false;
	http_count_requests(task, &conn->tally, transfer->requests);
	/* A client that goes on expects an answer, and nobody can tell where it begins. */
	if (http1_hides_answers(&conn->http1)) {
		http_miss(HTTP_MISSED_UNBOUNDED, transfer->requests);
		http1_forget(&conn->http1);
	}
	return false;
}

/* Bytes were received that could not be seen. */
static __always_inline void http1_receive_hidden(struct http1_connection *conn, __u64 length)
{
	if (http1_hides_more(&conn->request, length))
		http1_lose_requests(conn, HTTP_MISSED_REQUESTS_LOST);
}

/*
 * Besides `length` bytes that are about to be looked at, others were received: before them, so that nobody will see
 * them, or by another thread, which is still to hand them over. Between messages it must be the latter: nobody hides
 * the head that they want to read. While the body goes on behind both, it does not matter, and false says that it is
 * still to be decided.
 */
static __always_inline bool http1_receive_around(struct http1_connection *conn, __u64 hidden, __u64 length)
{
	if (http1_holds(&conn->request, hidden + length))
		return false;
	if (conn->request.state == HTTP1_START)
		return true;
	http1_receive_hidden(conn, hidden);
	conn->request.flags |= HTTP1_SKIPPED;
	return true;
}

/*
 * Bytes are about to be looked at that showed before. If any were skipped, that may have been these, and what they came
 * behind was taken for something else.
 */
static __always_inline void http1_receive_late(struct http1_connection *conn)
{
	struct http1_stream *s = &conn->request;

	if (!(s->flags & HTTP1_SKIPPED))
		return;
	s->flags &= ~HTTP1_SKIPPED;
	if (s->state > HTTP1_SWITCHED)
		http1_lose_requests(conn, HTTP_MISSED_REQUESTS_LOST);
}

/* The responses of a transfer, counted. Whether there is HTTP/2 at the cursor then. */
static __always_inline bool http1_send(struct task_struct *task, struct http_connection *conn,
				       struct http_transfer *transfer)
{
	struct http_cursor *cur = &transfer->cursor;

	http_expect_counts(task, &conn->tally);
	http1_begin(&conn->http1.response);
	if (http1_expects_head(&conn->http1.response)) {
		cur->now = bpf_ktime_get_ns();
		if (http_fill(transfer) > 0)
			http1_take_response_head(task, conn, transfer);
	}
	if (http1_walks_on(&conn->http1.response, cur)) {
		http1_walk(conn, transfer, HTTP_SEND);
		if (conn->http1.response.state == HTTP1_SWITCHED)
			return true;
	}
	if (http1_answers_nothing(&conn->http1)) {
		http_miss(HTTP_MISSED_RESPONSES_LOST, 1);
		http1_forget(&conn->http1);
	}
	return false;
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
