/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Counts requests and answers for processes, which user space reads once a second. A process that ends before user
 * space knew of it is added to its workload here, and leaves nothing behind.
 */
#ifndef PROCESSES_BPF_H
#define PROCESSES_BPF_H

#include "counters/missed.bpf.h"
#include "counters/owner.bpf.h"
#include "counters/places.bpf.h"
#include "counters/scheme.h"
#include "counters/series.bpf.h"
#include "counters/shares.bpf.h"
#include "counters/tally.h"
#include "counters/workloads.bpf.h"
#include "http.h"
#include "kernel/task.bpf.h"
#include "protocol/exchange.h"

HTTP_TABLE(http_processes, struct http_owner_key, struct http_process, 4096); /* --max-processes */

/*
 * Processes that user space has not taken over. Whoever deletes one here decides what becomes of it: of two who
 * try, one succeeds.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096); /* as the table */
	__type(key, struct http_owner_key);
	__type(value, __u8);
} http_untaken SEC(".maps");

/* Takes a place for a process, if there is one and another CPU does not take it at the same time. */
static __always_inline void http_add_process(const struct http_owner_key *key, __u32 share, __u32 workload)
{
	static const struct http_owner_key nobody;
	struct http_process *process;
	__u8 untaken = 1;
	__u32 place;

	if (!http_may_take(share, HTTP_PROCESSES) || bpf_map_pop_elem(&http_processes_free, &place))
		return;
	process = bpf_map_lookup_elem(&http_processes, &place);
	if (!process)
		return;
	http_sign_owner(&process->owner, key);
	process->owner.share = share;
	process->workload = workload;
	process->ended = 0;
	if (!bpf_map_update_elem(&http_processes_at, key, &place, BPF_NOEXIST)) {
		/* Only by who has won, and before user space looks at the place. It cannot end meanwhile: this is one of
		 * its threads. */
		bpf_map_update_elem(&http_untaken, key, &untaken, BPF_ANY);
		http_use_place(&http_processes_used, place);
		http_take(share, HTTP_PROCESSES, 1);
		return;
	}
	http_sign_owner(&process->owner, &nobody);
	bpf_map_push_elem(&http_processes_free, &place, 0);
}

/*
 * Makes a place for the process of the current task, and for its workload. Where there is none for the process, the place of
 * its workload is returned; else -1. A global function, which the verifier proves once.
 */
__noinline int http_make_process(__u16 port)
{
	struct http_owner_key key = http_key_of(http_current_task());
	struct http_identity *identity = http_identify_current();
	__u32 share, *at;
	int workload;

	if (!identity)
		return -1;
	share = http_share_of(identity->cgroup);
	at = http_find_workload(identity, share, port);
	if (!at)
		return -1;
	workload = *at;
	http_add_process(&key, share, workload);
	return bpf_map_lookup_elem(&http_processes_at, &key) ? -1 : workload;
}

static __always_inline bool http_is_process(struct http_process *process, const struct http_owner_key *key)
{
	return process && http_is_same_owner(&process->owner.requests[http_shard()].key, key);
}

/* Finds, or makes, where the current task's process counts. */
static __noinline int http_settle(struct task_struct *task, struct http_tally *tally)
{
	struct http_owner_key key = http_key_of(task);
	__u32 *at = bpf_map_lookup_elem(&http_processes_at, &key);

	tally->tgid = 0;
	if (!at) {
		tally->workload = http_make_process(tally->port);
		at = bpf_map_lookup_elem(&http_processes_at, &key);
		if (!at)
			return 0;
	}
	tally->tgid = key.pid;
	tally->process = *at;
	return 0;
}

/* Where the process of a key counts that has been settled; NULL if there is nothing. */
static __always_inline struct http_owner *http_owner_of(const struct http_tally *tally,
							const struct http_owner_key *key)
{
	struct http_process *process = bpf_map_lookup_elem(&http_processes, &tally->process);
	struct http_workload *workload;

	if (http_is_process(process, key))
		return &process->owner;
	workload = bpf_map_lookup_elem(&http_workloads, &tally->workload);
	return workload && !tally->tgid ? &workload->owner : NULL;
}

/* Counts requests of a process that has been settled. */
static __always_inline void http_count_settled_requests(struct task_struct *task,
							const struct http_tally *tally, __u64 n)
{
	struct http_owner_key key = http_key_of(task);
	struct http_owner *owner = http_owner_of(tally, &key);

	if (owner)
		http_add_requests(owner, n);
	if (owner && !owner->key.pid)
		__sync_fetch_and_add(&owner->unlisted, n);
	if (!owner || !owner->key.pid)
		http_miss(HTTP_MISSED_PROCESSES_FULL, n);
}

/* Counts requests of a process that is not where its connection remembers it. */
static __noinline int http_count_requests_anew(struct task_struct *task, struct http_tally *tally, __u64 n)
{
	http_settle(task, tally);
	http_count_settled_requests(task, tally, n);
	return 0;
}

/* Counts requests. */
static __always_inline void http_count_requests(struct task_struct *task, struct http_tally *tally, __u64 n)
{
	struct http_process *process = bpf_map_lookup_elem(&http_processes, &tally->process);
	struct http_owner_key key = http_key_of(task);

	if (http_is_process(process, &key))
		__sync_fetch_and_add(&process->owner.requests[http_shard()].count, n);
	else
		http_count_requests_anew(task, tally, n);
}

/* Some are counted far down the stack, where there is no room to find a process that is new. */
static __always_inline void http_expect_counts(struct task_struct *task, struct http_tally *tally)
{
	if (tally->tgid != (__u32)http_task_field(task, tgid))
		http_settle(task, tally);
}

/*
 * The place of the kind of answers that is asked for, or of all others of its owner; -1 if there is no room. A global
 * function, which the verifier proves once.
 */
__noinline int http_place_series(void)
{
	struct http_new_series *new = http_scratch(http_new_series, 0);
	struct http_owner_key process;
	struct http_owner *owner;
	__u32 *at;

	if (!new)
		return -1;
	process.start_time = new->key.start_time;
	process.pid = new->key.pid;
	owner = http_owner_of(&new->tally, &process);
	at = NULL;
	if (owner) {
		new->key.start_time = owner->key.start_time;
		new->key.pid = owner->key.pid;
		at = http_find_series(owner, &new->key);
	}
	if (!at || !new->key.status)
		http_miss(HTTP_MISSED_SERIES_FULL, 1);
	return at ? *at : -1;
}

/* Finds, or makes, where an answer of the current task's process counts, and notes it. False if there is no room. */
static __always_inline bool http_settle_series(const struct http_tally *tally, __u32 *place,
					       const struct http_owner_key *owner,
					       const struct http_exchange *exchange)
{
	struct http_new_series *new = http_scratch(http_new_series, 0);

	if (!new)
		return false;
	new->key.start_time = owner->start_time;
	new->key.pid = owner->pid;
	new->key.status = exchange->status;
	new->key.method = exchange->method;
	new->key.version = exchange->version | HTTP_SCHEME;
	new->tally = *tally;
	*place = http_place_series();
	/* All others of its owner are answers, and each call has one already. */
	if (exchange->method == HTTP_METHOD_GRPC && new->key.method != HTTP_METHOD_GRPC)
		*place = HTTP_NOWHERE;
	return *place != HTTP_NOWHERE;
}

static __always_inline bool http_is_kind(const struct http_series_key *key,
					 const struct http_owner_key *owner,
					 const struct http_exchange *exchange)
{
	return key->start_time == owner->start_time && key->pid == (__u32)owner->pid &&
	       key->status == exchange->status && key->method == exchange->method &&
	       key->version == (exchange->version | HTTP_SCHEME);
}

/* Counts what is known to have had a place the last time. */
static __always_inline void http_count_at(struct task_struct *task, const struct http_tally *tally,
					  __u32 *place, const struct http_exchange *exchange)
{
	struct http_series *series = bpf_map_lookup_elem(&http_series, place);
	struct http_owner_key owner = http_key_of(task);

	if ((series && http_is_kind(&series->durations[http_shard()].key, &owner, exchange)) ||
	    http_settle_series(tally, place, &owner, exchange))
		http_add_duration(*place, exchange->duration);
}

/* Counts an answer. */
static __always_inline void http_count_exchange(struct task_struct *task, struct http_tally *tally,
						const struct http_exchange *exchange)
{
	http_count_at(task, tally, &tally->series, exchange);
}

/* Counts a gRPC call. Each comes with an answer, so that it has a place of its own. */
static __always_inline void http_count_call(struct task_struct *task, struct http_tally *tally,
					    const struct http_exchange *exchange)
{
	http_count_at(task, tally, &tally->calls, exchange);
}

#endif /* PROCESSES_BPF_H */
