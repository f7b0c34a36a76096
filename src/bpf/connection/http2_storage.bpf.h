/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where the state of an HTTP/2 connection lies, beside what is kept of any: most connections are of HTTP/1, and must not pay
 * for it. Slots for more streams than that has room for are made when they are wanted, and the rest of all connections
 * share a hash.
 */
#ifndef HTTP2_STORAGE_BPF_H
#define HTTP2_STORAGE_BPF_H

#include "connection/state.h"
#include "connection/storage.bpf.h"
#include "kernel/socket.bpf.h"
#include "protocol/http2/requests.h"
#include "protocol/http2/responses.h"

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct h2_connection);
} http2_connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct h2_more_streams);
} http2_more SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192); /* --max-h2-connections */
	__type(key, __u64);
	__type(value, struct h2_connection);
} http2_inodes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024); /* an eighth of those */
	__type(key, __u64);
	__type(value, struct h2_more_streams);
} http2_more_inodes SEC(".maps");

struct http2_stream_key {
	__u64 id; /* the connection's */
	__u64 stream;
};

/* Streams that found no slot. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct http2_stream_key);
	__type(value, struct h2_stream);
} http2_streams SEC(".maps");

/* What a hash is given at first. */
struct http2_nothing {
	struct h2_connection conn;
	struct h2_more_streams more;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http2_nothing);
} http2_nothing SEC(".maps");

static __always_inline struct h2_connection *http2_of(const struct http_endpoint *endpoint)
{
	__u64 inode = endpoint->inode;

	if (http_in_storage)
		return bpf_sk_storage_get(&http2_connections, endpoint->sk, NULL, 0);
	return bpf_map_lookup_elem(&http2_inodes, &inode);
}

static __always_inline struct h2_connection *http2_make(const struct http_endpoint *endpoint)
{
	__u64 inode = endpoint->inode;
	struct http2_nothing *nothing;
	__u32 zero = 0;

	if (http_in_storage)
		return bpf_sk_storage_get(&http2_connections, endpoint->sk, NULL,
					  BPF_SK_STORAGE_GET_F_CREATE);
	nothing = bpf_map_lookup_elem(&http2_nothing, &zero);
	if (!nothing || bpf_map_update_elem(&http2_inodes, &inode, &nothing->conn, BPF_ANY))
		return NULL;
	return bpf_map_lookup_elem(&http2_inodes, &inode);
}

static __always_inline struct h2_more_streams *http2_more_of(const struct http_endpoint *endpoint)
{
	__u64 inode = endpoint->inode;

	if (http_in_storage)
		return bpf_sk_storage_get(&http2_more, endpoint->sk, NULL, 0);
	return bpf_map_lookup_elem(&http2_more_inodes, &inode);
}

static __always_inline struct h2_more_streams *http2_make_more(const struct http_endpoint *endpoint)
{
	__u64 inode = endpoint->inode;
	struct http2_nothing *nothing;
	__u32 zero = 0;

	if (http_in_storage)
		return bpf_sk_storage_get(&http2_more, endpoint->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	nothing = bpf_map_lookup_elem(&http2_nothing, &zero);
	if (!nothing || bpf_map_update_elem(&http2_more_inodes, &inode, &nothing->more, BPF_NOEXIST))
		return NULL;
	return bpf_map_lookup_elem(&http2_more_inodes, &inode);
}

/* Keeps an outstanding stream. `key` is where that of the stream is to lie: there is no room on the stack. */
static __always_inline void http2_hold(const struct http_endpoint *endpoint, struct http_connection *conn,
				       struct h2_connection *h2, const struct h2_stream *stream,
				       struct http2_stream_key *key)
{
	struct h2_more_streams *more;

	if (h2_hold(h2, NULL, stream))
		return;
	more = http2_more_of(endpoint);
	if (!more)
		more = http2_make_more(endpoint);
	if (more && h2_hold(h2, more, stream))
		return;
	key->id = conn->id;
	key->stream = stream->id;
	if (bpf_map_update_elem(&http2_streams, key, stream, BPF_ANY))
		http_miss(HTTP_MISSED_STREAMS_FULL, 1);
}

/* Where an outstanding stream is kept: NULL if it is not. */
static __always_inline struct h2_stream *http2_find(const struct http_endpoint *endpoint,
						    const struct http_connection *conn,
						    struct h2_connection *h2, __u32 id,
						    struct http2_stream_key *key)
{
	struct h2_stream *slot = h2_find(h2, NULL, id);
	struct h2_more_streams *more;

	if (slot || !id)
		return slot;
	more = http2_more_of(endpoint);
	/* Who has no second block has nothing in the third place. */
	if (!more)
		return NULL;
	slot = h2_find(h2, more, id);
	if (slot)
		return slot;
	key->id = conn->id;
	key->stream = id;
	return bpf_map_lookup_elem(&http2_streams, key);
}

/* One that is kept no longer. */
static __always_inline void http2_free(const struct http_connection *conn, __u32 id,
				       struct http2_stream_key *key)
{
	key->id = conn->id;
	key->stream = id;
	bpf_map_delete_elem(&http2_streams, key);
}

#endif /* HTTP2_STORAGE_BPF_H */
