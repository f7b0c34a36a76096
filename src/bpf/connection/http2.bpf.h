/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* From the bytes of an HTTP/2 connection's transfer to requests, responses, gRPC calls and their counters. */
#ifndef HTTP2_BPF_H
#define HTTP2_BPF_H

#include "connection/http2_walk.bpf.h"
#include "connection/state.h"
#include "connection/transfer.bpf.h"

/* Whether the server greets as only those of HTTP/2 do. */
static __always_inline bool http2_greets(const struct http_transfer *transfer)
{
	return h2_greets(transfer->window, transfer->cursor.filled);
}

/* Whether a transfer that is not of a stream's beginning may begin with a frame. The walk looks more closely. */
static __always_inline bool http2_may_begin(const struct http_transfer *transfer)
{
	const __u8 *window = transfer->window;

	return transfer->cursor.filled >= H2_FRAME_HEAD && !window[0] && window[1] <= H2_FRAME_MAX >> 8 &&
	       window[3] <= H2_CONTINUATION;
}

/* A connection has received or sent. */
static __always_inline void http2_moved(const struct http_endpoint *endpoint, struct http_connection *conn,
					struct http_transfer *transfer, enum http_direction direction)
{
	struct http2_told *told = http2_told_of(transfer);
	struct h2_connection *h2 = http2_of(&conn->id);
	struct h2_more_streams *more;

	if (!h2) { /* it was not used for so long that it has made room for another one */
		http2_lose(direction);
		http2_refute(endpoint, conn);
		return;
	}
	http_expect_counts(http_current_task(), &conn->tally);
	transfer->cursor.now = bpf_ktime_get_ns();
	told->key.id = conn->id;
	told->tally = conn->tally;
	told->refuted = false;
	if (direction == HTTP_RECEIVE) {
		h2_begin_receive(h2, &told->exchange);
		if (told->exchange.outcome)
			http2_count_told(direction);
	} else if (h2_begin_send(h2)) {
		more = http2_more_of(&conn->id);
		if (more)
			h2_sweep_more(h2, more);
	}
	http2_walk(transfer, direction);
	conn->tally = told->tally;
	if (told->refuted)
		http2_refute(endpoint, conn);
}

/* Functions, so that those who call them keep what they have on the stack for HTTP/1, which needs it. */
static __noinline int http2_received(const struct http_endpoint *endpoint, struct http_connection *conn,
				     struct http_transfer *transfer)
{
	http2_moved(endpoint, conn, transfer, HTTP_RECEIVE);
	return 0;
}

static __noinline int http2_sent(const struct http_endpoint *endpoint, struct http_connection *conn,
				 struct http_transfer *transfer)
{
	http2_moved(endpoint, conn, transfer, HTTP_SEND);
	return 0;
}

static __always_inline void http2_transferred(const struct http_endpoint *endpoint,
					      struct http_connection *conn, struct http_transfer *transfer,
					      enum http_direction direction)
{
	if (direction == HTTP_RECEIVE)
		http2_received(endpoint, conn, transfer);
	else
		http2_sent(endpoint, conn, transfer);
}

/* How a connection becomes one of HTTP/2. */
enum http2_beginning {
	HTTP2_GREETED, /* by what the server sends: the preface is still to come */
	HTTP2_PREFACE, /* by that, of which the first octets have come */
	HTTP2_UPGRADE, /* by what the server sends, upon a request of HTTP/1 */
	HTTP2_JOINED,  /* in the middle, if it is one of HTTP/2 at all */
};

/* What is received is HTTP/2 from now on, once the rest of its preface has come. */
static __always_inline void http2_begin_requests(struct http_connection *conn, struct h2_connection *h2)
{
	h2->request.count = HTTP1_PREFACE;
	conn->protocol = HTTP_PROTOCOL_HTTP2;
}

/* A connection is one of HTTP/2 from now on. */
static __always_inline bool http2_begin(struct http_connection *conn, enum http2_beginning beginning)
{
	const struct http1_run *run;
	struct h2_connection *h2 = http2_make(&conn->id);

	if (!h2) {
		http_miss(HTTP_MISSED_CONNECTIONS_FULL, 1);
		return false;
	}
	conn->protocol = HTTP_PROTOCOL_GREETED;
	switch (beginning) {
	case HTTP2_UPGRADE:
		run = http1_upgraded(&conn->http1);
		h2_upgrade(h2, run->time, run->method);
		break;
	case HTTP2_GREETED:
		h2_init(h2);
		break;
	case HTTP2_PREFACE:
		h2_init(h2);
		http2_begin_requests(conn, h2);
		break;
	case HTTP2_JOINED:
		h2_join(h2);
		conn->protocol = HTTP_PROTOCOL_HTTP2;
	}
	return true;
}

/*
 * A connection that was followed as one of HTTP/1 goes on as one of HTTP/2, whose octets begin at the transfer's cursor.
 * False if it cannot be followed.
 */
static __noinline bool http2_take_over(struct http_connection *conn, enum http_direction direction)
{
	struct h2_connection *h2 = conn->protocol == HTTP_PROTOCOL_GREETED ? http2_of(&conn->id) : NULL;

	if (h2) {
		http2_begin_requests(conn, h2);
		return true;
	}
	if (http2_begin(conn, direction == HTTP_SEND ? HTTP2_UPGRADE : HTTP2_PREFACE))
		return true;
	conn->http1.request.state = HTTP1_OPAQUE;
	conn->http1.response.state = HTTP1_OPAQUE;
	return false;
}

/*
 * Whether what a connection receives that is to be HTTP/2 after a preface is followed as HTTP/2 from now on, without one: what came
 * in its place could not be read, or was none.
 */
static __always_inline bool http2_lacks_preface(struct http_connection *conn)
{
	const struct http1_stream *s = &conn->http1.request;
	struct h2_connection *h2;

	if (s->state != HTTP1_LOST && s->flags & HTTP1_TENTATIVE)
		return false;
	h2 = http2_of(&conn->id);
	if (h2 && h2_lose(&h2->request) == H2_LOSS)
		http2_lose(HTTP_RECEIVE);
	conn->protocol = HTTP_PROTOCOL_HTTP2;
	return true;
}

/* Bytes were moved that cannot be seen: those of data need not be. */
static __always_inline void http2_transferred_hidden(const struct http_endpoint *endpoint,
						     struct http_connection *conn, __u64 length,
						     enum http_direction direction)
{
	struct http_transfer *transfer = http_transfer_of(direction, length);

	if (!transfer)
		return;
	http2_transferred(endpoint, conn, transfer, direction);
}

/*
 * Besides bytes that are about to be looked at others were received, as http1_receive_around() has it. Between frames nobody hides
 * the head of one that they want to read.
 */
static __always_inline void http2_receive_around(struct http_connection *conn, __u64 hidden)
{
	struct h2_connection *h2 = http2_of(&conn->id);
	struct h2_direction *d;

	if (!h2)
		return;
	d = &h2->request;
	if (d->state == H2_PAYLOAD && d->left > hidden)
		d->left -= hidden;
	else if ((d->state != H2_FRAME || d->count) && h2_lose(d) == H2_LOSS)
		http2_lose(HTTP_RECEIVE);
}

#endif /* HTTP2_BPF_H */
