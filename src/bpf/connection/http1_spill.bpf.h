/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Requests and responses of HTTP/1, paired, where a connection has more runs of requests outstanding than it holds. */
#ifndef HTTP1_SPILL_BPF_H
#define HTTP1_SPILL_BPF_H

#include "connection/state.h"
#include "connection/storage.bpf.h"
#include "protocol/http1/fast.h"
#include "protocol/http1/pairing.h"
#include <bpf/bpf_helpers.h>

/* Runs are kept some together, since to add to a map takes longer than to find what is in it. */
#define HTTP_SPILLED_TOGETHER 8

struct http_spill_key {
	__u64 id;
	__u64 n;
};

struct http_spilled_runs {
	struct http1_run runs[HTTP_SPILLED_TOGETHER];
};

/* Only for pipelines of many unlike requests. Least recently used goes first: closed connections. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384 / HTTP_SPILLED_TOGETHER);
	__type(key, struct http_spill_key);
	__type(value, struct http_spilled_runs);
} http_spilled SEC(".maps");

/* Runs of one connection, so that it does not take what all others need. */
#define HTTP_SPILLED_MAX 4096

static __always_inline struct http_spill_key http_spill_key_of(const struct http_connection *conn, __u32 n)
{
	return (struct http_spill_key){ .id = conn->id, .n = n / HTTP_SPILLED_TOGETHER };
}

/* Where run number n is kept, or has a place to be. */
static __always_inline struct http1_run *http_find_run(const struct http_spill_key *key, __u32 n)
{
	struct http_spilled_runs *some = bpf_map_lookup_elem(&http_spilled, key);

	return some ? &some->runs[n % HTTP_SPILLED_TOGETHER] : NULL;
}

/* Keeps a run that found no place in its connection. */
static __always_inline void http_spill_run(struct http_connection *conn, const struct http1_run *run)
{
	static const struct http_spilled_runs none;
	__u32 n = conn->http1.end;
	struct http_spill_key key = http_spill_key_of(conn, n);
	struct http1_run *place = NULL;

	if (n - conn->http1.first < HTTP1_RUNS + HTTP_SPILLED_MAX) {
		place = http_find_run(&key, n);
		if (!place && !bpf_map_update_elem(&http_spilled, &key, &none, BPF_ANY))
			place = http_find_run(&key, n);
	}
	if (place)
		*place = *run;
	http1_kept(&conn->http1, place != NULL);
}

/* Gives a connection back what has room in it now. */
static __always_inline void http_return_run(struct http_connection *conn)
{
	__u32 n = http1_last_held(&conn->http1);
	struct http_spill_key key;
	struct http1_run *run;

	if (!http1_wants_run(&conn->http1))
		return;
	key = http_spill_key_of(conn, n);
	run = http_find_run(&key, n);
	/* Those that came after others had gone lie beside an empty one. */
	http1_take_run(&conn->http1, run && run->count ? run : NULL);
	if (n % HTTP_SPILLED_TOGETHER == HTTP_SPILLED_TOGETHER - 1)
		bpf_map_delete_elem(&http_spilled, &key);
}

#endif /* HTTP1_SPILL_BPF_H */
