/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Notes from one program to the next, within one receive or send of a task: in which message the user
 * buffers are found. They are taken where the registers of the current system call do not tell: in tasks
 * that use io_uring, whose transfers come in the middle of any system call, and in 32-bit tasks.
 *
 * A task may be preempted within a program that takes notes, and the kernel skips that program in all other
 * tasks of the CPU meanwhile. So two take the same note, one before the transfer and one after it.
 */
#ifndef NOTES_BPF_H
#define NOTES_BPF_H

#include "connection/transfer.bpf.h"
#include "kernel/task.bpf.h"

/* Set by user space before the programs are loaded: whether notes are taken at all. */
const volatile bool http_notes_taken;

struct http_note {
	__u64 sk; /* 0 once it is read */
	__u64 message;
	__u64 size; /* of its buffers before the transfer */
	__u64 direction;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct http_note);
} http_notes SEC(".maps");

static __always_inline bool http_needs_note(struct task_struct *task)
{
	return http_uses_io_uring(task) || http_is_compat(task);
}

static __always_inline void http_take_note(struct socket *socket, struct msghdr *message, __u64 size,
					   enum http_direction direction)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct http_note *note;

	if (!http_needs_note(task))
		return;
	note = bpf_task_storage_get(&http_notes, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (note)
		*note = (struct http_note){
			.sk = (__u64)socket->sk,
			.message = (__u64)message,
			.size = size,
			.direction = direction,
		};
}

/* The note about the transfer that is being looked at. It serves once: the message is gone soon after. */
static __always_inline struct http_note *http_read_note(struct task_struct *task, struct sock *sk,
							enum http_direction direction)
{
	struct http_note *note = bpf_task_storage_get(&http_notes, task, NULL, 0);

	if (!note || note->sk != (__u64)sk || note->direction != direction)
		return NULL;
	note->sk = 0;
	return note;
}

/* A transfer of the current task is over, and nobody will read the note about it. */
static __always_inline void http_drop_note(void)
{
	struct task_struct *task;
	struct http_note *note;

	if (!http_notes_taken)
		return;
	task = bpf_get_current_task_btf();
	if (!http_needs_note(task))
		return;
	note = bpf_task_storage_get(&http_notes, task, NULL, 0);
	if (note)
		note->sk = 0;
}

#endif /* NOTES_BPF_H */
