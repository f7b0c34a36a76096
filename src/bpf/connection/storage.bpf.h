/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where the state of a connection lies.
 *
 * In the socket's own storage where the programs may use that: it goes with the socket and costs less to
 * find, and what is known of a socket without a connection lies there too. Else in a hash by the socket's inode number, which no living socket shares, where the least
 * recently used goes first. Which one is a constant that user space sets before the programs are loaded,
 * so that the verifier drops the other way, whose maps are not even made.
 */
#ifndef STORAGE_BPF_H
#define STORAGE_BPF_H

#include "connection/connections.bpf.h"
#include "connection/state.h"
#include "counters/missed.bpf.h"
#include "kernel/scratch.bpf.h"
#include "kernel/socket.bpf.h"

/* Set by user space before the programs are loaded. */
const volatile bool http_in_storage;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536); /* --max-connections */
	__type(key, __u64);
	__type(value, struct http_connection);
} http_inodes SEC(".maps");

/* For what was received before there is a connection. */
HTTP_SCRATCH(http_scratches, struct http_connection, 1);

/* The endpoint of a socket; without a sock if it is no stream socket. */
static __always_inline struct http_endpoint http_endpoint_of_socket(struct socket *socket)
{
	struct http_endpoint endpoint = {};
	struct sock *sk = socket->sk;

	if (!sk || !http_is_stream(sk->sk_type, sk->__sk_common.skc_family))
		return endpoint;
	if (!http_in_storage)
		endpoint.inode = http_read(socket, struct socket_alloc, vfs_inode.i_ino);
	endpoint.sk = sk;
	return endpoint;
}

static __always_inline struct http_connection *http_connection_by_inode(__u64 inode)
{
	return bpf_map_lookup_elem(&http_inodes, &inode);
}

/* What is known of a socket: a connection, or, in its storage, that it has none. NULL if nothing is. */
static __always_inline struct http_connection *http_known_of(const struct http_endpoint *endpoint)
{
	if (http_in_storage)
		return bpf_sk_storage_get(&http_connections, endpoint->sk, NULL, 0);
	return http_connection_by_inode(endpoint->inode);
}

static __always_inline struct http_connection *http_connection_of(const struct http_endpoint *endpoint)
{
	return http_connection_in(http_known_of(endpoint));
}

static __always_inline struct http_connection *http_scratch_connection(void)
{
	return http_scratch(http_scratches, 0);
}

/* Socket storage does not overwrite what was known before. */
static __always_inline bool http_store_connection(struct sock *sk, struct http_connection *conn)
{
	struct http_connection *stored =
		bpf_sk_storage_get(&http_connections, sk, conn, BPF_SK_STORAGE_GET_F_CREATE);

	if (stored && !stored->id)
		__builtin_memcpy(stored, conn, sizeof(*conn));
	return stored;
}

static __always_inline void http_keep_connection(const struct http_endpoint *endpoint,
						 struct http_connection *conn)
{
	__u64 inode = endpoint->inode;
	bool kept;

	if (http_in_storage)
		kept = http_store_connection(endpoint->sk, conn);
	else
		kept = !bpf_map_update_elem(&http_inodes, &inode, conn, BPF_ANY);
	if (!kept)
		http_miss(HTTP_MISSED_CONNECTIONS_FULL, 1);
}

#endif /* STORAGE_BPF_H */
