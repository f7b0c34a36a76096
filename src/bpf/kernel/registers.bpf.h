/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The registers of the system call that the current task is in. They are those of entry: the kernel keeps
 * them until the call returns, all but the one of the result.
 */
#ifndef REGISTERS_BPF_H
#define REGISTERS_BPF_H

#include "kernel/read.bpf.h"
#include <bpf/bpf_tracing.h>

#if defined(__TARGET_ARCH_x86)
enum {
	HTTP_NR_read = 0,
	HTTP_NR_write = 1,
	HTTP_NR_readv = 19,
	HTTP_NR_writev = 20,
	HTTP_NR_sendfile = 40,
	HTTP_NR_sendto = 44,
	HTTP_NR_recvfrom = 45,
	HTTP_NR_sendmsg = 46,
	HTTP_NR_recvmsg = 47,
	HTTP_NR_splice = 275,
	HTTP_NR_recvmmsg = 299,
	HTTP_NR_sendmmsg = 307,
	HTTP_NR_bpf = 321,
	HTTP_NR_io_uring_enter = 426,
};
#elif defined(__TARGET_ARCH_arm64)
enum {
	HTTP_NR_read = 63,
	HTTP_NR_write = 64,
	HTTP_NR_readv = 65,
	HTTP_NR_writev = 66,
	HTTP_NR_sendfile = 71,
	HTTP_NR_splice = 76,
	HTTP_NR_sendto = 206,
	HTTP_NR_recvfrom = 207,
	HTTP_NR_sendmsg = 211,
	HTTP_NR_recvmsg = 212,
	HTTP_NR_recvmmsg = 243,
	HTTP_NR_sendmmsg = 269,
	HTTP_NR_bpf = 280,
	HTTP_NR_io_uring_enter = 426,
};
#endif

/*
 * Before Linux 5.15 no helper says where the registers are. They lie at the end of the task's stack in the
 * kernel, whose size nothing tells: http_find_registers() finds it out.
 */
__u64 http_registers_at;

/* As the kernel has them, and as large as those of any. */
struct http_registers {
	__u64 words[48];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http_registers);
} http_registers_copy SEC(".maps");

/* Where they cannot be copied. */
static const struct http_registers http_no_registers;

static __always_inline const struct pt_regs *http_copy_registers(struct task_struct *task)
{
	__u32 key = 0;
	struct http_registers *copy = bpf_map_lookup_elem(&http_registers_copy, &key);

	if (!copy)
		return (const struct pt_regs *)&http_no_registers;
	bpf_probe_read_kernel(copy, bpf_core_type_size(struct pt_regs),
			      BPF_CORE_READ(task, stack) + http_registers_at);
	return (const struct pt_regs *)copy;
}

static __always_inline const struct pt_regs *http_registers(struct task_struct *task)
{
	if (http_has_helper(task_pt_regs))
		return (const struct pt_regs *)bpf_task_pt_regs(task);
	return http_copy_registers(task);
}

static __always_inline __u64 http_syscall_of(const struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return regs->orig_ax;
#else
	return regs->syscallno;
#endif
}

/*
 * To be called by a program that user space runs by the system call for it: true if its registers are where
 * http_registers() looks for those of the current task.
 */
static __always_inline bool http_find_registers(struct task_struct *task)
{
	const struct pt_regs *regs;
	__u64 size;

	if (http_has_helper(task_pt_regs))
		return true;
	for (size = 16 << 10; size <= 128 << 10; size *= 2) {
		http_registers_at = size - bpf_core_type_size(struct pt_regs);
		regs = http_copy_registers(task);
		if (http_syscall_of(regs) == HTTP_NR_bpf && PT_REGS_PARM1_SYSCALL(regs) == BPF_PROG_TEST_RUN)
			return true;
	}
	return false;
}

#endif /* REGISTERS_BPF_H */
