/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * From the registers of a system call to the user buffers it moved bytes from or to. The registers are
 * those of entry: the kernel keeps them until the call returns, all but the one of the result.
 */
#ifndef SYSCALL_BPF_H
#define SYSCALL_BPF_H

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

enum {
	HTTP_MSG_OOB = 0x1,
	HTTP_MSG_PEEK = 0x2,
	HTTP_MSG_TRUNC = 0x20,
	HTTP_MSG_ERRQUEUE = 0x2000,
	/* Not the next bytes of the stream. */
	HTTP_MSG_NO_DATA = HTTP_MSG_OOB | HTTP_MSG_PEEK | HTTP_MSG_ERRQUEUE,
};

enum {
	HTTP_PF_IO_WORKER = 0x10,
	HTTP_PF_KTHREAD = 0x200000,
	HTTP_TS_COMPAT = 0x2,
};

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

/* A 32-bit task of a 64-bit kernel, whose registers and structures are others. */
static __always_inline bool http_is_compat(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return task->thread_info.status & HTTP_TS_COMPAT;
#else
	return false;
#endif
}

/* A task whose transfers may be io_uring's: they come at the end of any system call of the task. */
static __always_inline bool http_uses_io_uring(struct task_struct *task)
{
	return http_task_field(task, flags) & HTTP_PF_IO_WORKER ||
	       (bpf_core_field_exists(task->io_uring) && http_task_field(task, io_uring));
}

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
		http_miss(io_uring, 1);
	else if (task->flags & HTTP_PF_KTHREAD)
		http_miss(kernel_thread, 1);
	else if (http_is_compat(task))
		http_miss(compat, 1);
	else
		http_miss(syscall, 1);
}

/* The socket behind a descriptor; without an inode if it is no stream socket. */
static __always_inline struct http_endpoint http_endpoint_of(struct task_struct *task, int fd)
{
	struct file **descriptor = http_descriptor(task, fd);
	struct http_endpoint endpoint = {};
	struct socket *socket;
	struct inode *inode;
	void *file;

	if (!descriptor)
		return endpoint;
	/* Any kernel structure that begins with a pointer reads a pointer. */
	file = http_read(descriptor, struct llist_head, first);
	inode = http_read(file, struct file, f_inode);
	if ((http_read(inode, struct inode, i_mode) & HTTP_S_IFMT) != HTTP_S_IFSOCK)
		return endpoint;
	socket = http_read(file, struct file, private_data);
	endpoint.sk = http_read(socket, struct socket, sk);
	if (http_is_stream(http_read(socket, struct socket, type),
			   http_read(endpoint.sk, struct sock, __sk_common.skc_family)))
		endpoint.inode = http_read(inode, struct inode, i_ino);
	return endpoint;
}

#endif /* SYSCALL_BPF_H */
