/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The current task: who it is, and its open files. Kernels differ in what a program may have of it; which
 * way is taken is a constant that CO-RE puts in at load, so that the verifier drops the other one.
 */
#ifndef TASK_BPF_H
#define TASK_BPF_H

#define http_has_helper(name) bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_##name)

/* From Linux 5.11 on its fields can be read like memory; before they have to be copied. */
static __always_inline struct task_struct *http_current_task(void)
{
	if (http_has_helper(get_current_task_btf))
		return bpf_get_current_task_btf();
	return (struct task_struct *)bpf_get_current_task();
}

/* The process of a task. */
static __always_inline struct http_process_key http_key_of(struct task_struct *task)
{
	struct http_process_key key;

	if (http_has_helper(get_current_task_btf)) {
		key.start_time = task->group_leader->start_boottime;
		key.pid = task->tgid;
	} else {
		key.start_time = BPF_CORE_READ(task, group_leader, start_boottime);
		key.pid = BPF_CORE_READ(task, tgid);
	}
	return key;
}

static __always_inline __u32 http_flags_of(struct task_struct *task)
{
	return http_has_helper(get_current_task_btf) ? task->flags : BPF_CORE_READ(task, flags);
}

/* Where the file table of a task holds a descriptor; NULL if it cannot. */
static __always_inline struct file **http_descriptor(struct task_struct *task, __u32 fd)
{
	struct fdtable *table;

	if (http_has_helper(get_current_task_btf)) {
		table = task->files->fdt;
		return fd < table->max_fds ? table->fd + fd : NULL;
	}
	table = BPF_CORE_READ(task, files, fdt);
	return fd < BPF_CORE_READ(table, max_fds) ? BPF_CORE_READ(table, fd) + fd : NULL;
}

#endif /* TASK_BPF_H */
