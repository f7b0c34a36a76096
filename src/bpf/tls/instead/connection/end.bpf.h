/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which end of a connection a stream of TLS is: the one that it was made for. Of a stream that is older than the agent nobody
 * knows that, until it receives a request or an answer; what it sends says nothing, since that may be the middle of anything.
 */
#ifndef END_BPF_H
#define END_BPF_H

#include "connection/mark.h"
#include "connection/storage.bpf.h"
#include "kernel/socket.bpf.h"

/* NULL if nothing is known. */
static __always_inline __u8 *http_mark_in(const struct http_endpoint *endpoint, struct http_connection *known)
{
	return known && (known->id || known->mark) ? &known->mark : NULL;
}

static __always_inline __u8 *http_mark_of(const struct http_endpoint *endpoint)
{
	return http_mark_in(endpoint, http_known_of(endpoint));
}

static __always_inline void http_mark(const struct http_endpoint *endpoint, __u8 mark)
{
	http_known_of(endpoint)->mark = mark;
}

static __always_inline void http_mark_not_server(const struct http_endpoint *endpoint)
{
	http_mark(endpoint, HTTP_NOT_SERVER);
}

/* As of a socket: connection/end.bpf.h. */
static __always_inline void http_looked_in_vain(const struct http_endpoint *endpoint, __u8 kind)
{
	struct http_connection *known = http_known_of(endpoint);

	if (known->mark != HTTP_NOT_SERVER)
		known->mark = http_mark_after_look(known->mark, kind);
}

static __always_inline bool http_is_tcp_client(struct sock *sk)
{
	return tls_stream_of(sk)->role == TLS_CLIENT;
}

static __always_inline bool http_is_unix_client(struct sock *sk)
{
	return false;
}

static __always_inline bool http_is_pair(struct sock *sk)
{
	return false;
}

static __always_inline bool http_speaks_first(struct sock *sk)
{
	return tls_stream_of(sk)->role == TLS_SERVER && !tls_stream_of(sk)->received;
}

static __always_inline bool http_is_new_unix(struct sock *sk)
{
	return false;
}

static __always_inline bool http_was_first(struct sock *sk, const __u8 *mark, __u32 length)
{
	return http_speaks_first(sk);
}

#endif /* END_BPF_H */
