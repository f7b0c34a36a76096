/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Processes whose TLS is seen into: programs at functions of their libraries have run in them. */
#ifndef VISIBLE_BPF_H
#define VISIBLE_BPF_H

#include "http.h"
#include "kernel/task.bpf.h"
#include <bpf/bpf_helpers.h>

/* A process that has made room for others is one again with its next stream, before a client says hello to it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096); /* --max-processes */
	__type(key, struct http_owner_key);
	__type(value, __u8);
} tls_visible SEC(".maps");

static __always_inline bool http_is_visible(const struct http_owner_key *process)
{
	return bpf_map_lookup_elem(&tls_visible, process);
}

/* The process of the current task. */
static __always_inline void http_show_process(struct task_struct *task)
{
	struct http_owner_key key = http_key_of(task);
	__u8 one = 1;

	if (!http_is_visible(&key))
		bpf_map_update_elem(&tls_visible, &key, &one, BPF_ANY);
}

#endif /* VISIBLE_BPF_H */
