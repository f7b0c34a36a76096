/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* From the registers of a system call to the user buffers that it moved bytes from or to. */
#ifndef CALLS_BPF_H
#define CALLS_BPF_H

#include "connection/transfer.bpf.h"
#include "counters/missed.bpf.h"
#include "kernel/registers.bpf.h"
#include "kernel/task.bpf.h"

/* Finds the user buffers of a transfer by the system call that makes it; false if that does not tell. */
static __always_inline bool http_set_buffers(__u64 syscall, const struct pt_regs *regs,
					     struct http_transfer *transfer)
{
	switch (syscall) {
	case HTTP_NR_read:
	case HTTP_NR_recvfrom:
	case HTTP_NR_write:
	case HTTP_NR_sendto:
		/* The registers of a kernel thread are all zero, which is a read to nowhere. */
		if (!PT_REGS_PARM2_SYSCALL(regs))
			return false;
		http_set_buffer(transfer, PT_REGS_PARM2_SYSCALL(regs), transfer->cursor.length);
		return true;
	case HTTP_NR_readv:
	case HTTP_NR_writev:
		http_set_vector(transfer, PT_REGS_PARM2_SYSCALL(regs), PT_REGS_PARM3_SYSCALL(regs));
		return true;
	case HTTP_NR_recvmsg:
	case HTTP_NR_sendmsg:
		http_set_message(transfer, PT_REGS_PARM2_SYSCALL(regs));
		return true;
	case HTTP_NR_sendfile:
	case HTTP_NR_splice:
		return true; /* from the page cache or a pipe: only the length is known */
	default:
		return false;
	}
}

/* The current task's registers tell nothing about a transfer: counts why. */
static __always_inline void http_miss_syscall(struct task_struct *task, __u64 syscall)
{
	if (task->flags & HTTP_PF_IO_WORKER || syscall == HTTP_NR_io_uring_enter)
		http_miss(HTTP_MISSED_IO_URING, 1);
	else if (task->flags & HTTP_PF_KTHREAD)
		http_miss(HTTP_MISSED_KERNEL_THREAD, 1);
	else if (http_is_compat(task))
		http_miss(HTTP_MISSED_COMPAT, 1);
	else
		http_miss(HTTP_MISSED_SYSCALL, 1);
}

#endif /* CALLS_BPF_H */
