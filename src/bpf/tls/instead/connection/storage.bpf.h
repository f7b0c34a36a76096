/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Where the state of streams of TLS lies: in a hash by process and address, where the least recently used goes first. */
#ifndef STORAGE_BPF_H
#define STORAGE_BPF_H

#include "connection/state.h"
#include "kernel/scratch.bpf.h"
#include "kernel/socket.bpf.h"

static const bool http_in_storage = false;

struct tls_stream_key {
	__u64 tgid;
	__u64 address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384); /* --max-tls-connections */
	__type(key, struct tls_stream_key);
	__type(value, struct tls_stream);
} tls_streams SEC(".maps");

/* For what was received before there is a connection. */
HTTP_SCRATCH(http_scratches, struct http_connection, 1);

/* Of the current process. */
static __always_inline struct tls_stream_key tls_stream_key_of(__u64 address)
{
	struct tls_stream_key key = { .tgid = bpf_get_current_pid_tgid() >> 32, .address = address };

	return key;
}

/* That of the current process at an address. */
static __always_inline struct tls_stream *tls_find(__u64 address)
{
	struct tls_stream_key key = tls_stream_key_of(address);

	return bpf_map_lookup_elem(&tls_streams, &key);
}

static __always_inline struct http_connection *http_connection_by_inode(__u64 address)
{
	struct tls_stream *stream = tls_find(address);

	return stream ? &stream->conn : NULL;
}

static __always_inline struct http_connection *http_known_of(const struct http_endpoint *endpoint)
{
	return &tls_stream_of(endpoint->sk)->conn;
}

static __always_inline struct http_connection *http_connection_of(const struct http_endpoint *endpoint)
{
	return http_connection_in(http_known_of(endpoint));
}

static __always_inline struct http_connection *http_scratch_connection(void)
{
	return http_scratch(http_scratches, 0);
}

static __always_inline void http_keep_connection(const struct http_endpoint *endpoint,
						 struct http_connection *conn)
{
	__builtin_memcpy(http_known_of(endpoint), conn, sizeof(*conn));
}

#endif /* STORAGE_BPF_H */
