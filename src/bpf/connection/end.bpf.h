/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which end of a connection a socket is. A client's end must be told apart, not only for its cost: what it
 * downloads may look like requests.
 */
#ifndef END_BPF_H
#define END_BPF_H

#include "connection/mark.h"
#include "connection/storage.bpf.h"
#include "kernel/read.bpf.h"
#include "kernel/socket.bpf.h"
#include <bpf/bpf_helpers.h>

/*
 * Whether all unix sockets that are older than the agent are known to be. Set by user space after the first walk
 * over all open files.
 */
bool http_old_sockets_known;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536); /* --max-connections */
	__type(key, __u64);
	__type(value, __u8);
} http_marked_inodes SEC(".maps");

/* The mark of a socket of which so much is known; NULL if nothing is. */
static __always_inline __u8 *http_mark_in(const struct http_endpoint *endpoint, struct http_connection *known)
{
	__u64 inode = endpoint->inode;

	if (http_in_storage)
		return known ? &known->mark : NULL;
	return bpf_map_lookup_elem(&http_marked_inodes, &inode);
}

static __always_inline __u8 *http_mark_of(const struct http_endpoint *endpoint)
{
	return http_mark_in(endpoint, http_in_storage ? http_known_of(endpoint) : NULL);
}

static __always_inline void http_mark(const struct http_endpoint *endpoint, __u8 mark)
{
	__u64 inode = endpoint->inode;
	struct http_connection *known;

	if (!http_in_storage) {
		bpf_map_update_elem(&http_marked_inodes, &inode, &mark, BPF_ANY);
		return;
	}
	known = bpf_sk_storage_get(&http_connections, endpoint->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (known)
		known->mark = mark;
}

static __always_inline void http_mark_not_server(const struct http_endpoint *endpoint)
{
	__u8 *mark = http_mark_of(endpoint);

	if (mark)
		*mark = HTTP_NOT_SERVER;
	else
		http_mark(endpoint, HTTP_NOT_SERVER);
}

/* Looked at once more in vain. `kind`: the flags above that hold of it. */
static __always_inline void http_looked_in_vain(const struct http_endpoint *endpoint, __u8 kind)
{
	__u8 *mark = http_mark_of(endpoint);

	if (!mark) {
		http_mark(endpoint, 1 | kind);
		return;
	}
	if (*mark != HTTP_NOT_SERVER)
		*mark = http_mark_after_look(*mark, kind);
}

/* A unix socket that has no name and is connected to one that has: the other end was accepted. */
static __always_inline bool http_is_unix_client(struct sock *sk)
{
	struct sock *peer;

	if (http_read(sk, struct sock, __sk_common.skc_family) != HTTP_AF_UNIX ||
	    http_read(sk, struct unix_sock, addr))
		return false;
	peer = http_read(sk, struct unix_sock, peer);
	return peer && http_read(peer, struct unix_sock, addr);
}

/* Both ends of a socketpair are without a name. */
static __always_inline bool http_is_pair(struct sock *sk)
{
	struct sock *peer;

	if (http_read(sk, struct sock, __sk_common.skc_family) != HTTP_AF_UNIX ||
	    http_read(sk, struct unix_sock, addr))
		return false;
	peer = http_read(sk, struct unix_sock, peer);
	return peer && !http_read(peer, struct unix_sock, addr);
}

/*
 * A TCP socket whose port was chosen when it connected: the kernel shares no such port with others, and marks it
 * so (__inet_hash_connect() in net/ipv4/inet_hashtables.c). Accepted sockets have the port of the one that listens.
 */
static __always_inline bool http_is_tcp_client(struct sock *sk)
{
	struct inet_bind_bucket *bucket;

	if (!http_is_tcp(sk))
		return false;
	bucket = http_read(sk, struct inet_connection_sock, icsk_bind_hash);
	return bucket && http_read(bucket, struct inet_bind_bucket, fastreuseport) == -1;
}

/* A TCP socket whose application sends before it has received: no HTTP/1 server does. */
static __always_inline bool http_speaks_first(struct sock *sk)
{
	return http_taken(sk) == 0;
}

/*
 * Whether a unix socket of which nothing is known has moved nothing before. There is no count of its bytes, but each
 * that moves some is known, unless it did that before the agent was there. A hash forgets.
 */
static __always_inline bool http_is_new_unix(struct sock *sk)
{
	return http_in_storage && http_old_sockets_known &&
	       http_read(sk, struct sock, __sk_common.skc_family) == HTTP_AF_UNIX;
}

/* A socket of which nothing is known was there at the agent's first walk over all open files. */
static __always_inline void http_mark_joined(const struct http_endpoint *endpoint)
{
	struct sock *sk = endpoint->sk;

	if (sk->sk_type == HTTP_SOCK_STREAM && sk->__sk_common.skc_family == HTTP_AF_UNIX)
		http_mark(endpoint, HTTP_JOINED);
}

/* Whether a receive of `length` bytes, which is over, was the first of a stream. `mark`: what was known before. */
static __always_inline bool http_was_first(struct sock *sk, const __u8 *mark, __u32 length)
{
	return http_taken(sk) == length || (!mark && http_is_new_unix(sk));
}

#endif /* END_BPF_H */
