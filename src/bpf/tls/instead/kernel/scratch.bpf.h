/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Memory that a program has for itself while it runs. Programs at functions of user space run with preemption on, so that
 * several may be under way on a CPU: each claims a slot of that CPU, which it does not leave before it has ended.
 */
#ifndef SCRATCH_BPF_H
#define SCRATCH_BPF_H

#include "types.h"
#include <bpf/bpf_helpers.h>

enum {
	TLS_SLOTS = 4, /* on each CPU; a power of two */
};

/* Whose they are: threads. */
struct tls_slots {
	__u64 threads[TLS_SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tls_slots);
} tls_slots SEC(".maps");

/* The number of the slot that the current program has claimed, among those of all CPUs. A global function, which the verifier proves once. */
__noinline int tls_slot(void)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 zero = 0, i;
	struct tls_slots *slots = bpf_map_lookup_elem(&tls_slots, &zero);

	if (!slots)
		return -1;
	for (i = 0; i < TLS_SLOTS; i++)
		if (slots->threads[i] == thread)
			return bpf_get_smp_processor_id() * TLS_SLOTS + i;
	return -1;
}

/* Has the current program a slot, if one is free. */
static __always_inline bool tls_claim(void)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 zero = 0, i;
	struct tls_slots *slots = bpf_map_lookup_elem(&tls_slots, &zero);

	if (!slots)
		return false;
	for (i = 0; i < TLS_SLOTS; i++)
		if (!__sync_val_compare_and_swap(&slots->threads[i], 0, thread))
			return true;
	return false;
}

static __always_inline void tls_release(void)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 zero = 0, i;
	struct tls_slots *slots = bpf_map_lookup_elem(&tls_slots, &zero);

	if (!slots)
		return;
	for (i = 0; i < TLS_SLOTS; i++)
		if (slots->threads[i] == thread)
			slots->threads[i] = 0;
}

/* As many for each slot; user space multiplies. */
#define HTTP_SCRATCH(name, value_type, entries)   \
	enum { name##_each = (entries) };         \
	struct {                                  \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(max_entries, (entries));   \
		__type(key, __u32);               \
		__type(value, value_type);        \
	} name SEC(".maps")

#define http_scratch(map, index)                                 \
	({                                                       \
		__u32 which = tls_slot() * map##_each + (index); \
		bpf_map_lookup_elem(&map, &which);               \
	})

/* Counts on in a number of this CPU, which other programs of it may be about to do as well. */
#define http_count_here(number, n) __sync_fetch_and_add(number, n)

#endif /* SCRATCH_BPF_H */
