/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What was not seen or not counted, by reason. */
#ifndef MISSED_BPF_H
#define MISSED_BPF_H

#include "http.h"
#include "kernel/scratch.bpf.h"
#include <bpf/bpf_helpers.h>

/* Per CPU, and read as their sum. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HTTP_REASONS);
	__type(key, enum http_reason);
	__type(value, __u64);
} http_missed SEC(".maps");

static __always_inline void http_miss(enum http_reason reason, __u64 n)
{
	__u64 *missed = bpf_map_lookup_elem(&http_missed, &reason);

	if (missed)
		http_count_here(missed, n);
}

#endif /* MISSED_BPF_H */
