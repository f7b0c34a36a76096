/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOST_PROCESSES_BPF_H
#define HOST_PROCESSES_BPF_H

#include "counters/missed.bpf.h"
#include "kernel/task.bpf.h"
#include "protocol/exchange.h"

static void http_count_requests(struct task_struct *task, struct http_tally *tally, __u64 n);
static void http_expect_counts(struct task_struct *task, struct http_tally *tally);
static void http_count_exchange(struct task_struct *task, struct http_tally *tally,
				const struct http_exchange *exchange);

#endif /* HOST_PROCESSES_BPF_H */
