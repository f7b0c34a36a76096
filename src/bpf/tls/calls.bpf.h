/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Calls that have begun. Half of the places are for whoever comes first; of the rest a user in a control group gets a sixteenth of all at
 * most, as of other tables (counters/shares.bpf.h), so that who begins calls and never ends them leaves room for others. User space gives
 * back what threads hold that have ended.
 */
#ifndef CALLS_BPF_H
#define CALLS_BPF_H

#include "counters/missed.bpf.h"
#include "counters/shares.bpf.h"
#include "tls/call.bpf.h"

/* The first two are read by user space. */
struct tls_call {
	__u32 thread; /* that has begun it */
	__u32 share;
	__u64 stream;
	__u64 buffer;
	__u64 length_at;
	__u64 counted; /* in the stream */
};

enum {
	TLS_CALLS = 16384,
};

/* Allocated before: an allocation in the middle of a read may fail. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TLS_CALLS);
	__type(key, struct tls_call_key);
	__type(value, struct tls_call);
} tls_calls SEC(".maps");

/* How many of them each share has; the last one is that of all together. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, HTTP_SHARES + 1);
	__type(key, __u32);
	__type(value, __u64);
} tls_callers SEC(".maps");

static __always_inline bool tls_may_call(__u32 share)
{
	__u32 all = HTTP_SHARES;
	__u64 *own = bpf_map_lookup_elem(&tls_callers, &share);
	__u64 *total = bpf_map_lookup_elem(&tls_callers, &all);

	return own && total && (*total < TLS_CALLS / 2 || *own < TLS_CALLS / HTTP_SHARE_PARTS);
}

/* Places are taken, or given back where it is below zero. */
static __always_inline void tls_hold(__u32 share, __s64 places)
{
	__u32 all = HTTP_SHARES;
	__u64 *own = bpf_map_lookup_elem(&tls_callers, &share);
	__u64 *total = bpf_map_lookup_elem(&tls_callers, &all);

	if (own && total) {
		__sync_fetch_and_add(own, places);
		__sync_fetch_and_add(total, places);
	}
}

/* False if there is no room. What was noted of a call that had the same stack pointer is over. */
static __always_inline bool tls_note(const struct tls_call_key *key, struct tls_call *call,
				     const struct tls_call *noted)
{
	call->thread = bpf_get_current_pid_tgid();
	if (noted) {
		call->share = noted->share;
		return !bpf_map_update_elem(&tls_calls, key, call, BPF_EXIST);
	}
	call->share = http_share_of(bpf_get_current_cgroup_id());
	if (!tls_may_call(call->share) || bpf_map_update_elem(&tls_calls, key, call, BPF_NOEXIST)) {
		http_miss(HTTP_MISSED_TLS_CALLS_FULL, 1);
		return false;
	}
	tls_hold(call->share, 1);
	return true;
}

/* The call that returns, which is noted no longer. */
static __always_inline bool tls_take(struct pt_regs *ctx, __u64 cookie, struct tls_call *call)
{
	struct tls_call_key key = tls_call_key_of(ctx, cookie);
	struct tls_call *noted = bpf_map_lookup_elem(&tls_calls, &key);

	if (!noted)
		return false;
	*call = *noted;
	/* Unless user space was faster. */
	if (!bpf_map_delete_elem(&tls_calls, &key))
		tls_hold(call->share, -1);
	return true;
}

#endif /* CALLS_BPF_H */
