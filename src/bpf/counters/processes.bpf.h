/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The counters of processes: what user space reads once a second. Entries are made here and deleted by user
 * space alone, after a last harvest, so that no entry of a live process is ever evicted. Hash maps, since the
 * keys are sparse; preallocated, since an allocation in the middle of a receive may fail.
 */
#ifndef PROCESSES_BPF_H
#define PROCESSES_BPF_H

#include "counters/missed.bpf.h"
#include "http.h"
#include "kernel/task.bpf.h"
#include "protocol/exchange.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096); /* --max-processes */
	__type(key, struct http_process_key);
	__type(value, struct http_process);
} http_processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384); /* --max-processes times 4 */
	__type(key, struct http_series_key);
	__type(value, struct http_series);
} http_series SEC(".maps");

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

/* The process of a task; NULL if it is new and there is no room. */
static __always_inline struct http_process *http_process_of(struct task_struct *task)
{
	struct http_process_key key = http_key_of(task);
	struct http_process *process = bpf_map_lookup_elem(&http_processes, &key);

	if (!process) {
		static const struct http_process fresh;

		bpf_map_update_elem(&http_processes, &key, &fresh, BPF_NOEXIST);
		process = bpf_map_lookup_elem(&http_processes, &key);
		if (process)
			BPF_CORE_READ_INTO(&process->comm, task, group_leader, comm);
	}
	return process;
}

static __always_inline void http_count_requests(struct task_struct *task, __u64 n)
{
	struct http_process *process = http_process_of(task);

	if (process)
		__sync_fetch_and_add(&process->requests[http_shard()].count, n);
	else
		http_miss(HTTP_MISSED_PROCESSES_FULL, n);
}

static __always_inline void http_count_exchange(struct task_struct *task,
						const struct http_exchange *exchange)
{
	struct http_process_key owner = http_key_of(task);
	struct http_series_key key = {
		.start_time = owner.start_time,
		.pid = owner.pid,
		.status = exchange->status,
		.method = exchange->method,
		.version = exchange->version,
	};
	struct http_series *series = bpf_map_lookup_elem(&http_series, &key);
	struct http_durations *durations;
	__u32 bucket;

	if (!series) {
		static const struct http_series fresh;

		/* User space finds the series of a process by the process, and deletes them with it. */
		if (http_process_of(task))
			bpf_map_update_elem(&http_series, &key, &fresh, BPF_NOEXIST);
		series = bpf_map_lookup_elem(&http_series, &key);
		if (!series) {
			http_miss(HTTP_MISSED_SERIES_FULL, 1);
			return;
		}
	}
	durations = &series->durations[http_shard()];
	bucket = http_bucket(exchange->duration);
	if (bucket <= HTTP_BOUNDS)
		__sync_fetch_and_add(&durations->buckets[bucket], 1);
	__sync_fetch_and_add(&durations->sum, exchange->duration);
}

/* The last thread of a process is gone: user space deletes its entries after one more harvest. */
static __always_inline void http_mark_exited(struct task_struct *task)
{
	struct http_process_key key = http_key_of(task);
	struct http_process *process = bpf_map_lookup_elem(&http_processes, &key);

	if (process)
		process->exited = 1;
}

#endif /* PROCESSES_BPF_H */
