/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Requests and responses of HTTP/1, paired, where a connection has more runs of requests outstanding than it holds. */
#ifndef HTTP1_SPILL_BPF_H
#define HTTP1_SPILL_BPF_H

#include "connection/state.h"
#include "connection/storage.bpf.h"
#include "protocol/http1/fast.h"
#include "protocol/http1/pairing.h"
#include <bpf/bpf_helpers.h>

struct http_spill_key {
	__u64 id;
	__u64 n;
};

/* Only for pipelines of many unlike requests. Least recently used goes first: closed connections. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct http_spill_key);
	__type(value, struct http1_run);
} http_spilled SEC(".maps");

/* Of one connection, so that it does not take what all others need. */
#define HTTP_SPILLED_MAX 4096

/* Keeps a run that found no place in its connection. */
static __always_inline void http_spill_run(struct http_connection *conn, const struct http1_run *run)
{
	struct http_spill_key key = { .id = conn->id, .n = conn->http1.end };
	bool kept = conn->http1.end - conn->http1.first < HTTP1_RUNS + HTTP_SPILLED_MAX;

	http1_kept(&conn->http1, kept && !bpf_map_update_elem(&http_spilled, &key, run, BPF_ANY));
}

/* Gives a connection back what has room in it now. */
static __always_inline void http_return_run(struct http_connection *conn)
{
	struct http_spill_key key = { .id = conn->id, .n = http1_last_held(&conn->http1) };

	if (!http1_wants_run(&conn->http1))
		return;
	http1_take_run(&conn->http1, bpf_map_lookup_elem(&http_spilled, &key));
	bpf_map_delete_elem(&http_spilled, &key);
}

#endif /* HTTP1_SPILL_BPF_H */
