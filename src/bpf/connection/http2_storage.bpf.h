/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where the state of an HTTP/2 connection lies, beside what is kept of any: most connections are of HTTP/1, and must not pay
 * for it. It is found by the connection's id, on all kernels alike: no pointer to a socket can be handed to a function that
 * the verifier proves once, and to go through all of HTTP/2 in each program takes hundreds of megabytes of it. Slots for
 * more streams than that has room for are made when they are wanted, and the rest of all connections share a hash.
 */
#ifndef HTTP2_STORAGE_BPF_H
#define HTTP2_STORAGE_BPF_H

#include "connection/state.h"
#include "connection/storage.bpf.h"
#include "protocol/http2/requests.h"
#include "protocol/http2/responses.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192); /* --max-h2-connections */
	__type(key, __u64);
	__type(value, struct h2_connection);
} http2_connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024); /* an eighth of those */
	__type(key, __u64);
	__type(value, struct h2_more_streams);
} http2_more SEC(".maps");

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

static __always_inline struct http2_nothing *http2_no_state(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&http2_nothing, &zero);
}

static __always_inline struct h2_connection *http2_of(const __u64 *id)
{
	return bpf_map_lookup_elem(&http2_connections, id);
}

static __always_inline struct h2_connection *http2_make(const __u64 *id)
{
	struct http2_nothing *nothing = http2_no_state();

	if (!nothing || bpf_map_update_elem(&http2_connections, id, &nothing->conn, BPF_ANY))
		return NULL;
	return http2_of(id);
}

static __always_inline struct h2_more_streams *http2_more_of(const __u64 *id)
{
	return bpf_map_lookup_elem(&http2_more, id);
}

static __always_inline struct h2_more_streams *http2_make_more(const __u64 *id)
{
	struct http2_nothing *nothing = http2_no_state();

	if (!nothing || bpf_map_update_elem(&http2_more, id, &nothing->more, BPF_NOEXIST))
		return NULL;
	return http2_more_of(id);
}

/* Keeps an outstanding stream. `key` has the connection's id, and room for the stream's. */
static __always_inline void http2_hold(struct h2_connection *h2, const struct h2_stream *stream,
				       struct http2_stream_key *key)
{
	struct h2_more_streams *more;

	if (h2_hold(h2, NULL, stream))
		return;
	more = http2_more_of(&key->id);
	if (!more)
		more = http2_make_more(&key->id);
	if (more && h2_hold(h2, more, stream))
		return;
	key->stream = stream->id;
	if (bpf_map_update_elem(&http2_streams, key, stream, BPF_ANY))
		http_miss(HTTP_MISSED_STREAMS_FULL, 1);
}

/* Where an outstanding stream is kept: NULL if it is not. */
static __always_inline struct h2_stream *http2_find(struct h2_connection *h2, __u32 id,
						    struct http2_stream_key *key)
{
	struct h2_stream *slot = h2_find(h2, NULL, id);
	struct h2_more_streams *more;

	if (slot || !id)
		return slot;
	more = http2_more_of(&key->id);
	/* Who has no second block has nothing in the third place. */
	if (!more)
		return NULL;
	slot = h2_find(h2, more, id);
	if (slot)
		return slot;
	key->stream = id;
	return bpf_map_lookup_elem(&http2_streams, key);
}

/* One that is kept no longer. */
static __always_inline void http2_free(__u32 id, struct http2_stream_key *key)
{
	key->stream = id;
	bpf_map_delete_elem(&http2_streams, key);
}

#endif /* HTTP2_STORAGE_BPF_H */
