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

/* The process of a task. */
static __always_inline struct http_process_key http_key_of(struct task_struct *task)
{
	struct http_process_key key = { .pid = http_task_field(task, tgid) };

	key.start_time = http_task_field(http_task_field(task, group_leader), start_boottime);
	return key;
}

/* Where the file table of a task holds a descriptor; NULL if it cannot. */
static __always_inline struct file **http_descriptor(struct task_struct *task, __u32 fd)
{
	struct fdtable *table;

	if (http_has_helper(get_current_task_btf)) {
		table = http_task_field(task, files)->fdt;
		return fd < table->max_fds ? table->fd + fd : NULL;
	}
	table = BPF_CORE_READ(task, files, fdt);
	return fd < BPF_CORE_READ(table, max_fds) ? BPF_CORE_READ(table, fd) + fd : NULL;
}

#endif /* TASK_BPF_H */
