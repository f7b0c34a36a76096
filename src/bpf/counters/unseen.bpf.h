/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Counts connections of TLS in processes that are not seen into, and tells user space of these: it may find a library in them that
 * programs can be attached to.
 */
#ifndef UNSEEN_BPF_H
#define UNSEEN_BPF_H

#include "counters/missed.bpf.h"
#include "counters/processes.bpf.h"
#include "counters/visible.bpf.h"
#include "http.h"
#include "kernel/task.bpf.h"

/* Nobody waits for what finds no room here: a process that serves more is told of again. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 10); /* whole pages */
} tls_wanted SEC(".maps");

/* Whether there is anybody who attaches programs. Set by user space; when it is not, what they have noted no longer holds. */
bool http_sees_into_tls;

static __always_inline bool http_is_seen_into(const struct http_owner_key *process)
{
	return http_sees_into_tls && http_is_visible(process);
}

enum {
	TLS_TOLD_OFTEN = 1 << 10,
};

/* Whether to tell of a process with so many connections: ever more seldom, since a library may be loaded late. */
static __always_inline bool http_is_told_of(__u64 connections)
{
	if (connections > TLS_TOLD_OFTEN)
		return !(connections % TLS_TOLD_OFTEN);
	return !(connections & (connections - 1));
}

/* Tells of the process of the current task. */
static __always_inline void http_tell_of(struct task_struct *task)
{
	struct task_struct *parent = http_task_field(task, real_parent);
	struct tls_wanted wanted = {
		.pid = http_task_field(task, tgid),
		.parent = http_task_field(parent, tgid),
	};

	bpf_ringbuf_output(&tls_wanted, &wanted, sizeof(wanted), 0);
}

/*
 * The current task's process serves a connection of TLS that is older than the agent. It may have no other. A global function, which the
 * verifier proves once.
 */
__noinline int http_joined_tls(void)
{
	struct task_struct *task = http_current_task();
	struct http_owner_key key = http_key_of(task);

	if (!http_is_seen_into(&key))
		http_tell_of(task);
	return 0;
}

/*
 * The current task's process serves a connection of TLS on this port, of which nobody has seen more yet than that. A global function,
 * which the verifier proves once.
 */
__noinline int http_greeted_tls(__u16 port)
{
	struct task_struct *task = http_current_task();
	struct http_owner_key key = http_key_of(task);
	struct http_tally tally = { .port = port };
	struct http_owner *owner;

	http_settle(task, &tally);
	owner = http_owner_of(&tally, &key);
	if (http_is_seen_into(&key))
		return 0;
	http_miss(HTTP_MISSED_TLS_UNSEEN, 1);
	if (!owner)
		return 0;
	__sync_fetch_and_add(&owner->tls_unseen, 1);
	if (http_is_told_of(owner->tls_unseen))
		http_tell_of(task);
	return 0;
}

#endif /* UNSEEN_BPF_H */
