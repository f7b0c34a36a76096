/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Memory that a program has for itself while it runs: what does not fit on the stack, and where functions meet that the verifier
 * proves once, which take numbers only. It is the CPU's, since no other program of its kind runs there before it has ended. Those
 * of tls.bpf.c do, and have a header of their own in place of this one.
 */
#ifndef SCRATCH_BPF_H
#define SCRATCH_BPF_H

#include "types.h"
#include <bpf/bpf_helpers.h>

#define HTTP_SCRATCH(name, value_type, entries)          \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); \
		__uint(max_entries, (entries));          \
		__type(key, __u32);                      \
		__type(value, value_type);               \
	} name SEC(".maps")

#define http_scratch(map, index)                   \
	({                                         \
		__u32 which = (index);             \
		bpf_map_lookup_elem(&map, &which); \
	})

/* Counts on in a number of this CPU. */
#define http_count_here(number, n) (*(number) += (n))

#endif /* SCRATCH_BPF_H */
