/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where what was captured is handed over, and goes on to the protocol that follows the connection.
 *
 * A connection has state only once it has received what may be a request. Until then its receives are
 * parsed into a scratch connection, after a look at the first bytes, and its sends are ignored: a client
 * and a stream that is not HTTP never get further.
 */
#ifndef CONNECTION_BPF_H
#define CONNECTION_BPF_H

#include "connection/end.bpf.h"
#include "connection/http1.bpf.h"

/* Whether a request, or what may stand before one, begins with the first bytes of a transfer. */
static __always_inline bool http_may_begin(struct http_transfer *transfer)
{
	__u32 i;

	/* The first buffer may be empty, and an iovec has to be read before its bytes are. */
	for (i = 0; i < 4 && !transfer->cursor.filled; i++)
		if (http_fill(transfer) < 0)
			return false;
	return http1_may_begin(transfer->window, transfer->cursor.filled);
}

/* The first receive of a stream, as far as is known: the connection that it makes, if it makes one. */
static __always_inline struct http_connection *http_detect(struct task_struct *task,
							   struct http_transfer *transfer)
{
	struct http_connection *conn;

	if (!http_may_begin(transfer) || http_is_left_out(task))
		return NULL;
	conn = http_scratch_connection();
	if (!conn)
		return NULL;
	transfer->inode = 0;
	conn->id = bpf_ktime_get_ns();
	conn->copied_seq = 0;
	conn->mark = 0;
	conn->protocol = HTTP_PROTOCOL_HTTP1;
	return http1_first_receive(task, conn, transfer) ? conn : NULL;
}

/* A socket without a connection has received. */
static __always_inline void http_first_receive(struct task_struct *task, const struct http_endpoint *endpoint,
					       struct http_transfer *transfer)
{
	struct http_connection *conn = http_detect(task, transfer);

	if (conn) {
		if (http_is_tcp(endpoint->sk))
			conn->copied_seq = http_copied_seq(endpoint->sk);
		http_keep_connection(endpoint, conn);
	} else if (transfer->cursor.filled && /* its bytes were seen */
		   http_was_first(endpoint->sk, transfer->cursor.length)) {
		http_mark_not_server(endpoint);
	}
}

/*
 * Whether the bytes are wanted that a socket receives or sends. Of one that may be a server's end they are; that
 * one sends before it has received tells that it is none.
 */
static __always_inline bool http_wants(const struct http_endpoint *endpoint,
				       const struct http_connection *conn, enum http_direction direction)
{
	if (conn)
		return true;
	if (direction == HTTP_RECEIVE)
		return !http_is_not_server(endpoint);
	if (http_speaks_first(endpoint->sk) && !http_is_marked(endpoint))
		http_mark_not_server(endpoint);
	return false;
}

/* A socket, which may have a connection, has received or sent the bytes of a transfer, which were wanted. */
static __always_inline void http_transferred(struct task_struct *task, const struct http_endpoint *endpoint,
					     struct http_connection *conn, struct http_transfer *transfer,
					     enum http_direction direction)
{
	if (!conn) {
		http_first_receive(task, endpoint, transfer);
		return;
	}
	switch (conn->protocol) {
	case HTTP_PROTOCOL_HTTP1:
		if (direction == HTTP_RECEIVE)
			http1_receive(task, conn, transfer);
		else
			http1_send(task, conn, transfer);
	}
}

/* A connection has received or sent bytes that cannot be seen. */
static __always_inline void http_transferred_hidden(struct http_connection *conn, __u64 length,
						    enum http_direction direction)
{
	switch (conn->protocol) {
	case HTTP_PROTOCOL_HTTP1:
		if (direction == HTTP_RECEIVE)
			http1_receive_hidden(&conn->http1, length);
		else
			http1_send_hidden(&conn->http1, length);
	}
}

/*
 * Bytes that left the receive queue by a way that passes no hook (splice, zero-copy) show in TCP's
 * sequence number: within a body they are skipped like any others.
 */
static __always_inline void http_skip_hidden(struct http_connection *conn, struct sock *sk, __u32 length)
{
	__u32 copied_seq, hidden;

	if (!http_is_tcp(sk))
		return;
	copied_seq = http_copied_seq(sk);
	hidden = copied_seq - conn->copied_seq - length;
	conn->copied_seq = copied_seq;
	if (hidden)
		http_transferred_hidden(conn, hidden, HTTP_RECEIVE);
}

#endif /* CONNECTION_BPF_H */
