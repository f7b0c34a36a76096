/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where what was captured is handed over, and goes on to the protocol that follows the connection.
 *
 * A connection has state only once it has received what may be a request. Until then its receives are
 * parsed into a scratch connection, after a look at the first bytes: a client and a stream that is not HTTP
 * never get further.
 */
#ifndef CONNECTION_BPF_H
#define CONNECTION_BPF_H

#include "connection/end.bpf.h"
#include "connection/http1.bpf.h"
#include "connection/http2.bpf.h"
#include "connection/storage.bpf.h"
#include "connection/transfer.bpf.h"
#include "counters/missed.bpf.h"
#include "counters/unseen.bpf.h"
#include "kernel/socket.bpf.h"
#include "kernel/task.bpf.h"
#include "protocol/tls.h"

enum {
	HTTP_EMPTY_BUFFERS = 32,      /* before the first that holds bytes */
	HTTP_RECEIVE_MAX = 256 << 20, /* more than a receive by another thread or socket takes */
};

/*
 * Brings the first bytes of a transfer to hand: buffers before them may be empty. 0 if there are none. A global
 * function, which the verifier proves once.
 */
__noinline int http_fill_first(__u32 direction)
{
	struct http_transfer *transfer = http_transfer_here(direction);
	__u32 i;

	if (!transfer)
		return 0;
	for (i = 0; i < HTTP_EMPTY_BUFFERS && !transfer->cursor.filled; i++) {
		asm volatile("" : "+r"(i)); /* older kernels refuse a loop that clang has turned inside out */
		if (http_fill(transfer) < 0)
			return 0;
	}
	return transfer->cursor.filled > 0;
}

/* A connection of a process that is not left out, which is still to be kept. */
static __always_inline struct http_connection *http_new_connection(struct task_struct *task,
								   const struct http_endpoint *endpoint)
{
	struct http_connection *conn = http_scratch_connection();

	if (!conn || http_is_left_out(task))
		return NULL;
	conn->id = bpf_ktime_get_ns();
	conn->copied_seq = http_is_tcp(endpoint->sk) ? http_copied_seq(endpoint->sk) : 0;
	conn->counted_by = 0;
	conn->mark = 0;
	conn->tally.port = http_port(endpoint->sk);
	conn->protocol = HTTP_PROTOCOL_HTTP1;
	return conn;
}

/* The first receive of a stream, as far as is known: the connection that it makes, if it makes one. */
static __always_inline struct http_connection *
http_detect(struct task_struct *task, const struct http_endpoint *endpoint, struct http_transfer *transfer)
{
	struct http_connection *conn = http_new_connection(task, endpoint);

	if (!conn)
		return NULL;
	transfer->inode = 0;
	return http1_first_receive(task, conn, transfer) ? conn : NULL;
}

/* Has a socket a connection of HTTP/2, which is still to be given the transfer. NULL if it cannot have one. */
static __noinline struct http_connection *http_detect_http2(const struct http_endpoint *endpoint,
							    enum http2_beginning beginning)
{
	struct http_connection *conn = http_new_connection(http_current_task(), endpoint);
	const __u8 *mark;

	if (!conn)
		return NULL;
	mark = http_mark_of(endpoint);
	conn->mark = mark ? *mark : 0;
	http1_init(&conn->http1);
	http1_begin(&conn->http1.request);
	if (!http2_begin(conn, beginning))
		return NULL;
	http_keep_connection(endpoint, conn);
	return http_connection_of(endpoint);
}

/* Keeps a connection that has received something for the first time. Returns it if it is still to be given the rest of that. */
static __noinline struct http_connection *http_keep_first(const struct http_endpoint *endpoint,
							  struct http_connection *conn,
							  const struct http_transfer *transfer)
{
	bool switches = conn->http1.request.state == HTTP1_SWITCHED;
	const __u8 *mark;

	if (!transfer->requests)
		conn->protocol = HTTP_PROTOCOL_OPEN;
	if (switches) {
		mark = http_mark_of(endpoint);
		conn->mark = mark ? *mark : 0;
		switches = http2_take_over(conn, HTTP_RECEIVE);
	}
	http_keep_connection(endpoint, conn);
	return switches ? http_connection_of(endpoint) : NULL;
}

/* A socket without a connection has received. Returns one of HTTP/2, which is still to be given the transfer. */
static __always_inline struct http_connection *http_first_receive(struct task_struct *task,
								  const struct http_endpoint *endpoint,
								  struct http_transfer *transfer)
{
	const __u8 *mark = http_mark_of(endpoint);
	bool from_start = http_was_first(endpoint->sk, mark, transfer->cursor.length);
	struct http_connection *conn = NULL;
	bool may_begin;

	if (http_is_tcp_client(endpoint->sk) || http_is_unix_client(endpoint->sk)) {
		http_mark_not_server(endpoint);
		return NULL;
	}
	if (!http_fill_first(HTTP_RECEIVE))
		return NULL;
	may_begin = http1_may_begin(transfer->window, transfer->cursor.filled);
	if (!may_begin && !from_start && http2_may_begin(transfer) &&
	    (!mark || http_looks_of(*mark) < HTTP_LOOKS))
		return http_detect_http2(endpoint, HTTP2_JOINED);
	if (may_begin)
		conn = http_detect(task, endpoint, transfer);
	if (conn) {
		if (from_start)
			http1_is_whole(&conn->http1);
		return http_keep_first(endpoint, conn, transfer);
	}
	if (from_start && !may_begin) {
		http_mark_not_server(endpoint);
		if (tls_greets(transfer->window, transfer->cursor.filled) && !http_is_left_out(task))
			http_greeted_tls(http_port(endpoint->sk));
	} else if (!may_begin) {
		if (!mark && tls_goes_on(transfer->window, transfer->cursor.filled))
			http_joined_tls();
		http_looked_in_vain(endpoint, HTTP_NOT_HTTP);
	} else if (from_start || (mark && *mark != HTTP_JOINED)) {
		http_looked_in_vain(endpoint, from_start ? HTTP_FROM_START : 0);
	}
	return NULL;
}

/*
 * A socket without a connection has sent. An answer is that to a request that was not seen; and of a socketpair, in
 * which nothing else tells the ends apart, the one that asks is the client's. Returns what http_first_receive() does.
 */
static __always_inline struct http_connection *http_first_send(struct task_struct *task,
							       const struct http_endpoint *endpoint,
							       struct http_transfer *transfer)
{
	bool speaks_first = http_speaks_first(endpoint->sk);
	bool is_seen = !http_is_any_agent(task) && http_fill_first(HTTP_SEND);
	__u8 *mark;

	if (speaks_first && is_seen && http2_greets(transfer))
		return http_detect_http2(endpoint, HTTP2_GREETED);
	if (speaks_first) /* no other server that counts does */
		http_mark_not_server(endpoint);
	if (speaks_first || !is_seen)
		return NULL;
	mark = http_mark_of(endpoint);
	if (http1_answers(transfer->window, transfer->cursor.filled)) {
		if (mark && *mark & HTTP_NOT_HTTP)
			return NULL;
		/* It answers, so that it is never written off for what it receives. */
		if (mark)
			*mark = 0;
		http_miss(HTTP_MISSED_UNMATCHED, 1);
	} else if (http_is_pair(endpoint->sk) && (!mark || *mark == HTTP_JOINED) &&
		   http1_may_begin(transfer->window, transfer->cursor.filled)) {
		http_mark_not_server(endpoint);
	} else {
		http_looked_in_vain(endpoint, !mark && http_is_new_unix(endpoint->sk) ? HTTP_FROM_START : 0);
	}
	return NULL;
}

/*
 * Whether the bytes are wanted that a socket receives or sends, of which so much is known. Of one that may be a
 * server's end they are.
 */
static __always_inline bool http_wants(const struct http_endpoint *endpoint, struct http_connection *known,
				       enum http_direction direction)
{
	const __u8 *mark;

	if (http_connection_in(known))
		return true;
	mark = http_mark_in(endpoint, known);
	if (direction == HTTP_RECEIVE)
		return !mark || *mark != HTTP_NOT_SERVER;
	if (mark && http_looks_of(*mark) >= HTTP_LOOKS)
		return false;
	if (http_is_tcp_client(endpoint->sk) || http_is_unix_client(endpoint->sk)) {
		http_mark_not_server(endpoint);
		return false;
	}
	return true;
}

/* Whether what a connection receives or sends is HTTP/2. */
static __always_inline bool http_speaks_http2(const struct http_connection *conn,
					      enum http_direction direction)
{
	return conn->protocol == HTTP_PROTOCOL_HTTP2 ||
	       (conn->protocol == HTTP_PROTOCOL_GREETED && direction == HTTP_SEND);
}

/* Whether a connection of which it is not sure that it is one of HTTP/1 moves HTTP/2, also if it does that for the first time. */
static __noinline bool http_moves_http2(struct http_connection *conn, const struct http_transfer *transfer,
					enum http_direction direction)
{
	if (http_speaks_http2(conn, direction))
		return true;
	if (conn->protocol == HTTP_PROTOCOL_GREETED)
		return http2_lacks_preface(conn);
	if (conn->http1.end)
		conn->protocol = HTTP_PROTOCOL_HTTP1;
	else if (direction == HTTP_SEND && http_fill_first(HTTP_SEND) && http2_greets(transfer))
		return http2_begin(conn, HTTP2_GREETED);
	return false;
}

/* A socket, which may have a connection, has received or sent the bytes of a transfer, which were wanted. */
static __always_inline void http_transferred(struct task_struct *task, const struct http_endpoint *endpoint,
					     struct http_connection *conn, struct http_transfer *transfer,
					     enum http_direction direction)
{
	if (!conn)
		conn = direction == HTTP_RECEIVE ? http_first_receive(task, endpoint, transfer) :
						   http_first_send(task, endpoint, transfer);
	if (!conn)
		return;
	if (conn->protocol == HTTP_PROTOCOL_HTTP1 || !http_moves_http2(conn, transfer, direction)) {
		if (!(direction == HTTP_RECEIVE ? http1_receive(task, conn, transfer) :
						  http1_send(task, conn, transfer)))
			return;
		if (!http2_take_over(conn, direction))
			return;
	}
	http2_transferred(endpoint, conn, transfer, direction);
}

/* A connection has received or sent bytes that cannot be seen. */
static __always_inline void http_transferred_hidden(const struct http_endpoint *endpoint,
						    struct http_connection *conn, __u64 length,
						    enum http_direction direction)
{
	if (http_speaks_http2(conn, direction))
		http2_transferred_hidden(endpoint, conn, length, direction);
	else if (direction == HTTP_RECEIVE)
		http1_receive_hidden(&conn->http1, length);
	else
		http1_send_hidden(&conn->http1, length);
}

/*
 * A connection has received `hidden` bytes besides those that are about to be looked at, before them or by another
 * thread: false if that is to be asked again.
 */
static __always_inline bool http_transferred_around(struct http_connection *conn, __u64 hidden, __u64 length)
{
	if (conn->protocol != HTTP_PROTOCOL_HTTP2)
		return http1_receive_around(&conn->http1, hidden, length);
	http2_receive_around(conn, hidden);
	return true;
}

/* A connection has received what is about to be looked at while something else was. */
static __always_inline void http_transferred_late(struct http_connection *conn)
{
	if (conn->protocol != HTTP_PROTOCOL_HTTP2)
		http1_receive_late(&conn->http1);
}

/*
 * Bytes that left the receive queue by a way that passes no hook (splice, zero-copy) show in TCP's sequence number.
 * Or it is another thread that has received them, and hands them over later: the number alone does not tell. Those that
 * can still be either show once more at the next receive.
 *
 * Where the number moves by less than what was received, these bytes have shown before, or they came by another socket
 * (sockmap). An urgent byte and the end of the stream have numbers too, and are no bytes of it.
 */
static __always_inline void http_skip_hidden(const struct http_endpoint *endpoint,
					     struct http_connection *conn, __u32 length)
{
	struct sock *sk = endpoint->sk;
	__u32 copied_seq, hidden, before = conn->copied_seq;

	if (!http_is_tcp(sk))
		return;
	copied_seq = http_copied_seq(sk);
	hidden = copied_seq - before - length;
	conn->copied_seq = copied_seq;
	if (!hidden)
		return;
	if (hidden > (__u32)-HTTP_RECEIVE_MAX) {
		http_transferred_late(conn);
		return;
	}
	if (http_is_urgent_between(sk, before, copied_seq))
		hidden--;
	if (hidden && http_has_ended(sk))
		hidden--;
	if (hidden && !http_transferred_around(conn, hidden, length))
		conn->copied_seq -= hidden;
}

#endif /* CONNECTION_BPF_H */
