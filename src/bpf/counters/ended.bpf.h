/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What becomes of what a process has counted when it ends. */
#ifndef ENDED_BPF_H
#define ENDED_BPF_H

#include "counters/processes.bpf.h"

/* Adds all that a process has counted to its workload, and clears its place. */
static __always_inline void http_fold_process(const struct http_owner_key *key, __u32 place,
					      struct http_process *process)
{
	static const struct http_owner_key nobody;
	struct http_workload *workload = bpf_map_lookup_elem(&http_workloads, &process->workload);
	__u32 into = process->workload;
	__s64 given = 0;
	__u32 n;

	bpf_map_delete_elem(&http_processes_at, key);
	if (workload) {
		http_add_requests(&workload->owner, http_take_requests(&process->owner));
		__sync_fetch_and_add(&workload->owner.tls_unseen, process->owner.tls_unseen);
	}
	for (n = 0; n <= HTTP_KINDS; n++) {
		struct http_series_key kind = http_kind(key, n);
		__u32 *at;

		/* After the last one comes that of all others. */
		if (n >= process->owner.kinds && n < HTTP_KINDS)
			continue;
		at = bpf_map_lookup_elem(&http_series_at, &kind);
		if (!at)
			continue;
		given += http_fold_series(*at, into, key->start_time, key->pid);
		bpf_map_delete_elem(&http_series_at, &kind);
	}
	http_take(process->owner.share, HTTP_SERIES, -given);
	http_take(process->owner.share, HTTP_PROCESSES, -1);
	process->owner.kinds = 0;
	process->owner.tls_unseen = 0;
	process->ended = 0;
	http_sign_owner(&process->owner, &nobody);
	http_give_back(&http_processes_used, &http_processes_free, place);
}

/* A process has ended: it has exited, or executes another program. */
static __noinline int http_end_process(struct task_struct *task, __u32 execs)
{
	struct http_owner_key key = http_key_before(task, execs);
	__u32 *at = bpf_map_lookup_elem(&http_processes_at, &key);
	struct http_process *process;
	__u32 place;

	if (!at)
		return 0;
	place = *at;
	process = bpf_map_lookup_elem(&http_processes, &place);
	if (!process)
		return 0;
	/* Of the last threads of a process several may come here, of which one folds it. */
	if (!bpf_map_delete_elem(&http_untaken, &key))
		http_fold_process(&key, place, process);
	else if (http_is_same_owner(&process->owner.key, &key))
		process->ended = 1; /* user space clears it after one more harvest */
	return 0;
}

#endif /* ENDED_BPF_H */
