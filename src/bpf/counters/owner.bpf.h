/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What processes and workloads have in common. */
#ifndef OWNER_BPF_H
#define OWNER_BPF_H

#include "http.h"
#include <bpf/bpf_helpers.h>

static __always_inline __u32 http_shard(void)
{
	return bpf_get_smp_processor_id() & (HTTP_SHARDS - 1);
}

static __always_inline bool http_is_same_owner(const struct http_owner_key *one,
					       const struct http_owner_key *other)
{
	return one->start_time == other->start_time && one->pid == other->pid;
}

/* Whose an entry is. Of nobody: whose key is all zeros. */
static __always_inline void http_sign_owner(struct http_owner *owner, const struct http_owner_key *key)
{
	int i;

	owner->key = *key;
	for (i = 0; i < HTTP_SHARDS; i++)
		owner->requests[i].key = *key;
}

static __always_inline void http_add_requests(struct http_owner *owner, __u64 n)
{
	__sync_fetch_and_add(&owner->requests[http_shard()].count, n);
}

/* All requests of one that counts no more, which are then counted elsewhere. */
static __always_inline __u64 http_take_requests(struct http_owner *owner)
{
	__u64 all = 0;
	int i;

	for (i = 0; i < HTTP_SHARDS; i++) {
		all += owner->requests[i].count;
		owner->requests[i].count = 0;
	}
	return all;
}

#endif /* OWNER_BPF_H */
