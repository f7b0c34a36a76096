/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* From the bytes of an HTTP/2 connection's transfer to requests, responses, gRPC calls and their counters. */
#ifndef HTTP2_BPF_H
#define HTTP2_BPF_H

#include "connection/http2_walk.bpf.h"
#include "connection/state.h"
#include "connection/transfer.bpf.h"

/* What is enough of a preface: no HTTP/1 server takes a request that begins so. */
#define HTTP2_PREFACE_ENOUGH 4

/*
 * How many octets of the preface a connection has had, with those at hand, if `taken` came before; 0 if they are not of it. A
 * global function, which the verifier proves once.
 */
__noinline int http2_preface_of(__u32 taken)
{
	struct http_transfer *transfer = http_transfer_here(HTTP_RECEIVE);

	return transfer ? h2_preface(taken, transfer->window, transfer->cursor.filled) : 0;
}

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
	} else {
		h2_begin_send(h2, http2_more_of(&conn->id));
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

/* What is new to a connection, or a connection that is new. */
enum http2_beginning {
	HTTP2_WHOLE,  /* from the preface on */
	HTTP2_JOINED, /* in the middle, if it is one of HTTP/2 at all */
};

/* A connection that is kept is one of HTTP/2 from now on. `taken`: octets of its preface that came before. */
static __always_inline bool http2_begin(struct http_connection *conn, enum http2_beginning beginning,
					__u8 taken)
{
	struct h2_connection *h2 = http2_make(&conn->id);

	if (!h2) {
		http_miss(HTTP_MISSED_CONNECTIONS_FULL, 1);
		return false;
	}
	if (beginning == HTTP2_WHOLE)
		h2_init(h2);
	else
		h2_join(h2);
	h2->request.count = taken;
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
