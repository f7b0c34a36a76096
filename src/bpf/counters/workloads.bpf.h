/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Workloads, which stay when their processes are gone: an executable in a control group each. */
#ifndef WORKLOADS_BPF_H
#define WORKLOADS_BPF_H

#include "counters/missed.bpf.h"
#include "counters/owner.bpf.h"
#include "counters/places.bpf.h"
#include "counters/series.bpf.h"
#include "counters/shares.bpf.h"
#include "http.h"
#include "kernel/identity.bpf.h"
#include "kernel/scratch.bpf.h"
#include "kernel/task.bpf.h"

HTTP_TABLE(http_workloads, struct http_workload_key, struct http_workload, 1024); /* --max-workloads */

/* Who the current task is, which is too long for the stack. */
HTTP_SCRATCH(http_identities, struct http_identity, 1);

/* A global function, which the verifier proves once. */
__noinline int http_note_identity(void)
{
	struct http_identity *identity = http_scratch(http_identities, 0);

	if (!identity)
		return 0;
	__builtin_memset(identity->executable, 0, sizeof(identity->executable));
	http_identity_of(http_current_task(), identity);
	if (!identity->executable[0])
		bpf_get_current_comm(identity->executable, HTTP_COMM_LEN);
	return 0;
}

static __always_inline struct http_identity *http_identify_current(void)
{
	http_note_identity();
	return http_scratch(http_identities, 0);
}

/* Takes a place for a workload, if there is one and another CPU does not take it at the same time. */
static __noinline void http_add_workload(const struct http_identity *identity, __u32 share, __u16 port)
{
	static const struct http_owner_key nobody;
	struct http_owner_key key = { .start_time = bpf_ktime_get_boot_ns() };
	struct http_workload *workload;
	__u32 place;

	if (bpf_map_pop_elem(&http_workloads_free, &place))
		return;
	workload = bpf_map_lookup_elem(&http_workloads, &place);
	if (!workload)
		return;
	/* No two have the same, whatever the clock's resolution. */
	key.start_time = (key.start_time & ~0xffffULL) | (place & 0xffff);
	http_sign_owner(&workload->owner, &key);
	workload->owner.share = share;
	workload->port = port;
	workload->identity = *identity;
	if (http_keep_place(&http_workloads_at, &http_workloads_used, identity, &place)) {
		http_take(share, HTTP_WORKLOADS, 1);
		return;
	}
	http_sign_owner(&workload->owner, &nobody);
	bpf_map_push_elem(&http_workloads_free, &place, 0);
}

/*
 * Where the workload of a task is, whose identity becomes that of the workload: where there is no room for one more
 * of this control group, it is that of all others of the group. And where there is not even room for that, it is the one of
 * no group and no name, which is there from the start.
 */
static __always_inline __u32 *http_find_workload(struct http_identity *identity, __u32 share, __u16 port)
{
	__u32 *at = bpf_map_lookup_elem(&http_workloads_at, identity);

	if (at)
		return at;
	if (http_may_take(share, HTTP_WORKLOADS)) {
		http_add_workload(identity, share, port);
		at = bpf_map_lookup_elem(&http_workloads_at, identity);
		if (at)
			return at;
	}
	__builtin_memset(identity->executable, 0, sizeof(identity->executable));
	at = bpf_map_lookup_elem(&http_workloads_at, identity);
	if (at)
		return at;
	http_add_workload(identity, share, 0);
	at = bpf_map_lookup_elem(&http_workloads_at, identity);
	if (at)
		return at;
	identity->cgroup = 0;
	return bpf_map_lookup_elem(&http_workloads_at, identity);
}

/* The one for whatever has no other. To be called before anything counts. */
static __always_inline bool http_add_last_workload(void)
{
	struct http_identity *identity = http_scratch(http_identities, 0);

	if (!identity)
		return false;
	__builtin_memset(identity, 0, sizeof(*identity));
	http_add_workload(identity, 0, 0);
	return bpf_map_lookup_elem(&http_workloads_at, identity);
}

/*
 * What a process that has ended has answered in one way becomes its workload's. Returns how many places were given back. A
 * global function, which the verifier proves once.
 */
__noinline int http_fold_series(__u32 place, __u32 into, __u64 start_time, __u32 pid)
{
	static const struct http_series_key nothing;
	struct http_workload *workload = bpf_map_lookup_elem(&http_workloads, &into);
	struct http_series *from = bpf_map_lookup_elem(&http_series, &place);
	struct http_series_key key, kind;
	__u64 answers;
	__u32 *at;

	if (!workload || !from)
		return 0;
	key = from->durations[0].key;
	/* Nobody's, as by another number of one that was there already, or somebody else's by now. */
	if (key.start_time != start_time || key.pid != pid)
		return 0;
	kind = key;
	kind.start_time = workload->owner.key.start_time;
	kind.pid = 0;
	at = http_find_series(&workload->owner, &kind);
	answers = http_move_durations(place, at ? *at : HTTP_NOWHERE);
	if (!at || kind.status != key.status)
		http_miss(HTTP_MISSED_SERIES_FULL, answers);
	bpf_map_delete_elem(&http_series_at, &key);
	http_sign_series(from, &nothing);
	http_give_back(&http_series_used, &http_series_free, place);
	return 1;
}

#endif /* WORKLOADS_BPF_H */
