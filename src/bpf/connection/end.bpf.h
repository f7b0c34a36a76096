/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which end of a connection a socket is. A client's end must be told apart, not only for its cost: what it
 * downloads may look like requests.
 */
#ifndef END_BPF_H
#define END_BPF_H

#include "connection/storage.bpf.h"

/*
 * TCP sockets that are known not to be an HTTP server's end: those that spoke first, and those whose
 * first bytes were no request. One look at this instead of one at the bytes of each receive. Only what was
 * seen from its beginning is marked, so that a stream joined in the middle of a body is still found out.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u8);
} http_marked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536); /* --max-connections */
	__type(key, __u64);
	__type(value, __u8);
} http_marked_inodes SEC(".maps");

static __always_inline bool http_is_marked(const struct http_endpoint *endpoint)
{
	__u64 inode = endpoint->inode;

	if (http_in_storage)
		return bpf_sk_storage_get(&http_marked, endpoint->sk, NULL, 0);
	return bpf_map_lookup_elem(&http_marked_inodes, &inode);
}

static __always_inline void http_mark_not_server(const struct http_endpoint *endpoint)
{
	__u64 inode = endpoint->inode;
	__u8 mark = 1;

	if (http_in_storage)
		bpf_sk_storage_get(&http_marked, endpoint->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	else
		bpf_map_update_elem(&http_marked_inodes, &inode, &mark, BPF_ANY);
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

/* A TCP socket whose application sends before it has received: no HTTP/1 server does. */
static __always_inline bool http_speaks_first(struct sock *sk)
{
	return http_taken(sk) == 0;
}

/* Whether a receive of `length` bytes, which is over, was the first of a TCP stream. */
static __always_inline bool http_was_first(struct sock *sk, __u32 length)
{
	return http_taken(sk) == length;
}

/* Whether a socket without a connection need not be looked at. */
static __always_inline bool http_is_not_server(const struct http_endpoint *endpoint)
{
	return http_is_marked(endpoint) || http_is_unix_client(endpoint->sk);
}

#endif /* END_BPF_H */
