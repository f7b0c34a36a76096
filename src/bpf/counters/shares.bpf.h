/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who may take places in the tables. Half of a table is for whoever comes first. Of the rest a user in a control group gets
 * a sixteenth of the table at most, so that one who takes all that there is leaves room for others.
 *
 * Users are told apart by a hash, so that there are as many shares as there were at the start whatever users do. It is
 * seeded, so that nobody chooses whose share to take from.
 */
#ifndef SHARES_BPF_H
#define SHARES_BPF_H

#include "http.h"
#include <bpf/bpf_helpers.h>

/* Set by user space before the programs are loaded. */
const volatile __u32 http_room[HTTP_RESOURCES];
const volatile __u64 http_seed;

enum {
	HTTP_SHARE_PARTS = 16, /* of a table, of which a user gets one */
};

/* The last one is that of all together. User space gives back what it clears. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, HTTP_SHARES + 1);
	__type(key, __u32);
	__type(value, struct http_share);
} http_shares SEC(".maps");

/* The share of the current task's user in a control group. */
static __always_inline __u32 http_share_of(__u64 cgroup)
{
	__u64 hash = (cgroup ^ http_seed) * 0x9e3779b97f4a7c15ULL;

	hash = (hash ^ hash >> 32 ^ (__u32)bpf_get_current_uid_gid()) * 0x9e3779b97f4a7c15ULL;
	return hash >> 32 & (HTTP_SHARES - 1);
}

static __always_inline bool http_may_take(__u32 share, enum http_resource resource)
{
	__u32 all = HTTP_SHARES;
	struct http_share *own = bpf_map_lookup_elem(&http_shares, &share);
	struct http_share *total = bpf_map_lookup_elem(&http_shares, &all);
	__u64 room;

	if (!own || !total || resource >= HTTP_RESOURCES)
		return false;
	room = http_room[resource];
	return total->held[resource] < room / 2 || own->held[resource] < (room / HTTP_SHARE_PARTS ?: 1);
}

/* Places were taken, or given back where it is below zero. */
static __always_inline void http_take(__u32 share, enum http_resource resource, __s64 places)
{
	__u32 all = HTTP_SHARES;
	struct http_share *own = bpf_map_lookup_elem(&http_shares, &share);
	struct http_share *total = bpf_map_lookup_elem(&http_shares, &all);

	if (!own || !total || resource >= HTTP_RESOURCES)
		return;
	__sync_fetch_and_add(&own->held[resource], places);
	__sync_fetch_and_add(&total->held[resource], places);
}

#endif /* SHARES_BPF_H */
