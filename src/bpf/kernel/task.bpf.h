/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The current task: who it is, and what its transfers are like. */
#ifndef TASK_BPF_H
#define TASK_BPF_H

#include "http.h"
#include "kernel/read.bpf.h"

enum {
	HTTP_PF_IO_WORKER = 0x10,
	HTTP_PF_KTHREAD = 0x200000,
	HTTP_TS_COMPAT = 0x2,
};

/* The agent as the kernel numbers it: not what a pid namespace shows it. It does not count itself. */
__u32 agent_pid;

/*
 * The name of threads in which an agent talks to itself, to see whether it counts. Set by user space before the
 * programs are loaded.
 */
const volatile __u64 http_talker[HTTP_COMM_LEN / sizeof(__u64)];

/* From Linux 5.11 on its fields can be read like memory; before they have to be copied. */
static __always_inline struct task_struct *http_current_task(void)
{
	if (http_has_helper(get_current_task_btf))
		return bpf_get_current_task_btf();
	return (struct task_struct *)bpf_get_current_task();
}

/*
 * A field of a task. Where the kernel can (6.2), by a pointer that it does not trust: for each pointer that
 * comes of one it trusts, the verifier searches all types by name, on all ways through a program.
 */
#define http_task_field(task, field)                                           \
	({                                                                     \
		struct task_struct *one = (task);                              \
		typeof(one->field) value;                                      \
		if (bpf_ksym_exists(bpf_rdonly_cast))                          \
			value = bpf_core_cast(one, struct task_struct)->field; \
		else if (http_has_helper(get_current_task_btf))                \
			value = one->field;                                    \
		else                                                           \
			BPF_CORE_READ_INTO(&value, one, field);                \
		value;                                                         \
	})

/* The process of a task, so many programs ago. */
static __always_inline struct http_owner_key http_key_before(struct task_struct *task, __u32 execs)
{
	struct http_owner_key key = { .pid = http_task_field(task, tgid) };
	struct task_struct *leader = http_task_field(task, group_leader);

	key.start_time = (http_task_field(leader, start_boottime) & ~HTTP_EXECS) |
			 ((http_task_field(leader, self_exec_id) - execs) & HTTP_EXECS);
	return key;
}

static __always_inline struct http_owner_key http_key_of(struct task_struct *task)
{
	return http_key_before(task, 0);
}

static __always_inline bool http_is_agent(struct task_struct *task)
{
	return (__u32)http_task_field(task, tgid) == agent_pid;
}

/* Whether the current task talks to itself, this agent's or another's. */
static __always_inline bool http_talks_to_itself(void)
{
	__u64 name[HTTP_COMM_LEN / sizeof(__u64)] = {};

	bpf_get_current_comm(name, sizeof(name));
	return name[0] == http_talker[0] && name[1] == http_talker[1];
}

/* What the current task serves shows nowhere: an agent's own requests do not count, but for what it says to itself. */
static __always_inline bool http_is_left_out(struct task_struct *task)
{
	return http_is_agent(task) != http_talks_to_itself();
}

/* This agent, or another one that talks to itself. */
static __always_inline bool http_is_any_agent(struct task_struct *task)
{
	return http_is_agent(task) || http_talks_to_itself();
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

#endif /* TASK_BPF_H */
