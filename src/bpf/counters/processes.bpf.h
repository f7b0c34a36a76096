/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The counters of processes, and of the kinds of answers of each: what user space reads once a second. */
#ifndef PROCESSES_BPF_H
#define PROCESSES_BPF_H

#include "counters/missed.bpf.h"
#include "counters/places.bpf.h"
#include "http.h"
#include "kernel/identity.bpf.h"
#include "kernel/task.bpf.h"
#include "protocol/exchange.h"

HTTP_TABLE(http_processes, struct http_process_key, struct http_process, 4096); /* --max-processes */
HTTP_TABLE(http_series, struct http_series_key, struct http_series, 16384);	/* --max-processes times 4 */

/* Upper bounds of the duration buckets, inclusive; one more bucket holds what is over the last. Set by
 * user space before the programs are loaded. */
const volatile __u64 http_bounds_ns[HTTP_BOUNDS];

static __always_inline __u32 http_shard(void)
{
	return bpf_get_smp_processor_id() & (HTTP_SHARDS - 1);
}

static __always_inline __u32 http_bucket(__u64 ns)
{
	__u32 i;

	for (i = 0; i < HTTP_BOUNDS; i++)
		if (ns <= http_bounds_ns[i])
			break;
	return i;
}

static __always_inline bool http_is_process(const struct http_process_key *one,
					    const struct http_process_key *other)
{
	return one->start_time == other->start_time && one->pid == other->pid;
}

static __always_inline bool http_is_series(const struct http_series_key *one,
					   const struct http_series_key *other)
{
	return one->start_time == other->start_time && one->pid == other->pid &&
	       one->status == other->status && one->method == other->method && one->version == other->version;
}

/* Whose the place is that a process has, or a series. Of nobody: whose key is all zeros. */
static __always_inline void http_sign_process(struct http_process *process,
					      const struct http_process_key *key)
{
	int i;

	for (i = 0; i < HTTP_SHARDS; i++)
		process->requests[i].key = *key;
}

static __always_inline void http_sign_series(struct http_series *series, const struct http_series_key *key)
{
	int i;

	for (i = 0; i < HTTP_SHARDS; i++)
		series->durations[i].key = *key;
}

/*
 * Notes who the current task's process is, whose place this is. A global function, which the verifier proves once and
 * not on each way that leads here; so it takes no pointers, like those of connection/http1_walk.bpf.h.
 */
__noinline int http_note_identity(__u32 place)
{
	struct http_process *process = bpf_map_lookup_elem(&http_processes, &place);

	if (process)
		http_identity_of(http_current_task(), &process->identity);
	return 0;
}

/* Takes a place for a process, if there is one and another CPU does not take it at the same time. */
static __always_inline void http_add_process(struct task_struct *task, const struct http_process_key *key)
{
	static const struct http_process_key nobody;
	struct http_process *process;
	__u32 place;

	if (bpf_map_pop_elem(&http_processes_free, &place))
		return;
	process = bpf_map_lookup_elem(&http_processes, &place);
	if (!process)
		return;
	http_sign_process(process, key);
	BPF_CORE_READ_INTO(&process->comm, task, group_leader, comm);
	http_note_identity(place);
	if (http_keep_place(&http_processes_at, &http_processes_used, key, &place))
		return;
	http_sign_process(process, &nobody);
	bpf_map_push_elem(&http_processes_free, &place, 0);
}

static __always_inline void http_add_series(const struct http_series_key *key)
{
	static const struct http_series_key nothing;
	struct http_series *series;
	__u32 place;

	if (bpf_map_pop_elem(&http_series_free, &place))
		return;
	series = bpf_map_lookup_elem(&http_series, &place);
	if (!series)
		return;
	http_sign_series(series, key);
	if (http_keep_place(&http_series_at, &http_series_used, key, &place))
		return;
	http_sign_series(series, &nothing);
	bpf_map_push_elem(&http_series_free, &place, 0);
}

/* Where the process of a task is; NULL if it is new and there is no room. */
static __always_inline __u32 *http_find_process(struct task_struct *task)
{
	struct http_process_key key = http_key_of(task);
	__u32 *at = bpf_map_lookup_elem(&http_processes_at, &key);

	if (at)
		return at;
	http_add_process(task, &key);
	return bpf_map_lookup_elem(&http_processes_at, &key);
}

/* The process of a task, whose place is noted; NULL likewise. */
static __noinline struct http_process *http_process_of(struct task_struct *task, __u32 *place)
{
	__u32 *at = http_find_process(task);

	if (!at)
		return NULL;
	*place = *at;
	return bpf_map_lookup_elem(&http_processes, place);
}

/* Counts requests. `place`: where their process had its last time. */
static __always_inline void http_count_requests(struct task_struct *task, __u32 *place, __u64 n)
{
	struct http_process *process = bpf_map_lookup_elem(&http_processes, place);
	struct http_process_key key = http_key_of(task);
	__u32 shard = http_shard();

	if (!process || !http_is_process(&process->requests[shard].key, &key)) {
		process = http_process_of(task, place);
		if (!process) {
			http_miss(HTTP_MISSED_PROCESSES_FULL, n);
			return;
		}
	}
	__sync_fetch_and_add(&process->requests[shard].count, n);
}

/* The series of a key, whose place is noted; NULL if it is new and there is no room. */
static __noinline struct http_series *http_series_of(struct task_struct *task,
						     const struct http_series_key *key, __u32 *place)
{
	__u32 *at = bpf_map_lookup_elem(&http_series_at, key);

	if (!at) {
		/* User space finds the series of a process by the process, and clears them with it. */
		if (http_find_process(task))
			http_add_series(key);
		at = bpf_map_lookup_elem(&http_series_at, key);
		if (!at)
			return NULL;
	}
	*place = *at;
	return bpf_map_lookup_elem(&http_series, place);
}

/* Counts an answer. `place`: where its like had theirs the last time. */
static __always_inline void http_count_exchange(struct task_struct *task, __u32 *place,
						const struct http_exchange *exchange)
{
	struct http_series *series = bpf_map_lookup_elem(&http_series, place);
	struct http_process_key owner = http_key_of(task);
	struct http_series_key key = {
		.start_time = owner.start_time,
		.pid = owner.pid,
		.status = exchange->status,
		.method = exchange->method,
		.version = exchange->version,
	};
	struct http_durations *durations;
	__u32 shard = http_shard();
	__u32 bucket;

	if (!series || !http_is_series(&series->durations[shard].key, &key)) {
		series = http_series_of(task, &key, place);
		if (!series) {
			http_miss(HTTP_MISSED_SERIES_FULL, 1);
			return;
		}
	}
	durations = &series->durations[shard];
	bucket = http_bucket(exchange->duration);
	if (bucket <= HTTP_BOUNDS)
		__sync_fetch_and_add(&durations->buckets[bucket], 1);
	__sync_fetch_and_add(&durations->sum, exchange->duration ?: 1);
}

/* The last thread of a process is gone: user space clears its entries after one more harvest. */
static __always_inline void http_mark_exited(struct task_struct *task)
{
	struct http_process_key key = http_key_of(task);
	__u32 *place = bpf_map_lookup_elem(&http_processes_at, &key);
	struct http_process *process = place ? bpf_map_lookup_elem(&http_processes, place) : NULL;

	if (process)
		process->exited = 1;
}

#endif /* PROCESSES_BPF_H */
