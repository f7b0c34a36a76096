/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who a process is: the name of its executable, and its control group. Read once for each, so that all of it is
 * copied, which every kernel and every kind of program allows.
 */
#ifndef IDENTITY_BPF_H
#define IDENTITY_BPF_H

#include "http.h"
#include "kernel/read.bpf.h"

enum {
	HTTP_CGROUP_DEPTH = 16,	    /* names on a path; what is further out is left off */
	HTTP_CGROUP_NAME_LEN = 256, /* of the longest name, with its zero */
};

/* The name of the file: also of one that was deleted or replaced, and whatever name space it is seen from. */
static __always_inline void http_name_executable(struct task_struct *task, struct http_identity *identity)
{
	const void *name = BPF_CORE_READ(task, mm, exe_file, f_path.dentry, d_name.name);

	bpf_probe_read_kernel_str(identity->executable, sizeof(identity->executable), name);
}

/* The directory around one of a control group; NULL around the root of a hierarchy. */
static __always_inline struct kernfs_node *http_cgroup_above(struct kernfs_node *node)
{
	struct kernfs_node___6_15 *newer = (void *)node;

	if (bpf_core_field_exists(newer->__parent))
		return BPF_CORE_READ(newer, __parent);
	return BPF_CORE_READ(node, parent);
}

/* The group of a set's in the hierarchy that has a controller; NULL if this kernel does not know that. */
#define http_cgroup_by(set, controller)                                                                \
	(bpf_core_enum_value_exists(enum cgroup_subsys_id, controller) ?                               \
		 http_cgroup_with_state(set, bpf_core_enum_value(enum cgroup_subsys_id, controller)) : \
		 NULL)

static __always_inline struct cgroup *http_cgroup_with_state(struct css_set *set, __u64 number)
{
	struct cgroup_subsys_state **states = (void *)&set->subsys;
	struct cgroup_subsys_state *state = NULL;

	bpf_probe_read_kernel(&state, sizeof(state), states + number);
	return BPF_CORE_READ(state, cgroup);
}

/*
 * A group in a hierarchy of version 1, if it is not the root of that. `unified`: the group in the hierarchy of version
 * 2, which may have the controller as well; then a group above may stand for the one that the task is in.
 */
static __always_inline struct cgroup *http_nested_cgroup(struct cgroup *group, struct cgroup *unified)
{
	if (!group || BPF_CORE_READ(group, root) == BPF_CORE_READ(unified, root))
		return NULL;
	return BPF_CORE_READ(group, level) > 0 ? group : NULL;
}

/*
 * The control group of a task. Where hierarchies of version 1 are in use, runtimes of containers put a container into all
 * of them, and the one of version 2 may only say where the runtime was started: so it comes behind those that are used
 * for hardly anything else. Those for memory and CPUs come last, since anybody limits these with groups of their own.
 */
static __always_inline struct cgroup *http_cgroup_of(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup *unified = BPF_CORE_READ(set, dfl_cgrp);
	struct cgroup *group;

	group = http_nested_cgroup(http_cgroup_by(set, pids_cgrp_id), unified);
	if (!group)
		group = http_nested_cgroup(http_cgroup_by(set, freezer_cgrp_id), unified);
	if (!group)
		group = http_nested_cgroup(http_cgroup_by(set, devices_cgrp_id), unified);
	if (!group && BPF_CORE_READ(unified, level) > 0)
		return unified;
	if (!group)
		group = http_nested_cgroup(http_cgroup_by(set, memory_cgrp_id), unified);
	if (!group)
		group = http_nested_cgroup(http_cgroup_by(set, cpu_cgrp_id), unified);
	return group ?: unified;
}

/* The names from a group outwards. */
static __always_inline void http_name_cgroup(struct task_struct *task, struct http_identity *identity)
{
	struct kernfs_node *node = BPF_CORE_READ(http_cgroup_of(task), kn);
	__u64 used = 0;
	int i;

	identity->cgroup = BPF_CORE_READ(node, id);
	for (i = 0; i < HTTP_CGROUP_DEPTH; i++) {
		struct kernfs_node *above = http_cgroup_above(node);
		long length;

		if (!above || used > HTTP_CGROUP_LEN - HTTP_CGROUP_NAME_LEN)
			break;
		/* Of a constant length, since no older verifier knows that a longer name leaves less room. */
		length = bpf_probe_read_kernel_str(&identity->cgroup_names[used], HTTP_CGROUP_NAME_LEN,
						   BPF_CORE_READ(node, name));
		if (length <= 0)
			break;
		used += length;
		node = above;
	}
	if (used < HTTP_CGROUP_LEN)
		identity->cgroup_names[used] = 0;
}

/* Who a task's process is. `identity` lies in a map: no stack has room for it. */
static __always_inline void http_identity_of(struct task_struct *task, struct http_identity *identity)
{
	http_name_executable(task, identity);
	http_name_cgroup(task, identity);
}

#endif /* IDENTITY_BPF_H */
