// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Whether the kernel runs programs at tracepoints with preemption on. Linux 7 does, so that a task may be
 * preempted within a program, and until it goes on the kernel passes over that program in all other tasks
 * of the CPU. No type and no function of the kernel tells, so that it is looked at before the programs that
 * count are chosen.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

bool preemption_on;

#if defined(__TARGET_ARCH_x86)
/* Since Linux 6.15. User space does not load this on kernels without it. */
extern const int __preempt_count __ksym;

enum {
	PREEMPT_NEED_RESCHED = 1 << 31, /* a flag in it, and no part of the count */
};

static __always_inline bool is_preemptible(void)
{
	const int *count = bpf_this_cpu_ptr(&__preempt_count);

	return !(*count & ~PREEMPT_NEED_RESCHED);
}
#elif defined(__TARGET_ARCH_arm64)
static __always_inline bool is_preemptible(void)
{
	return !bpf_get_current_task_btf()->thread_info.preempt.count;
}
#endif

/* Attached by user space for as long as it sends something itself. Nobody sends with preemption off. */
SEC("tp_btf/sock_send_length")
int look_at_preemption(void *ctx)
{
	if (is_preemptible())
		preemption_on = true;
	return 0;
}
