/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Notes from one program to the next, within one receive or send of a task: in which message the user
 * buffers are found. They are taken where the registers of the current system call do not tell: in tasks
 * that use io_uring, whose transfers come in the middle of any system call, and in 32-bit tasks.
 */
#ifndef NOTES_BPF_H
#define NOTES_BPF_H

/* Set by user space before the programs are loaded: whether notes are taken at all. */
const volatile bool http_notes_taken;

struct http_note {
	__u64 sk; /* 0 once it is read */
	__u64 message;
	__u64 size;   /* of its buffers before the transfer */
	__s64 length; /* of the transfer; negative if it is a send */
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

static __always_inline void http_take_note(struct sock *sk, struct msghdr *message, __u64 size, __s64 length)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct http_note *note;

	if (!http_needs_note(task))
		return;
	note = bpf_task_storage_get(&http_notes, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (note)
		*note = (struct http_note){
			.sk = (__u64)sk,
			.message = (__u64)message,
			.size = size,
			.length = length,
		};
}

/* The note about the transfer that is being looked at. It serves once: the message is gone soon after. */
static __always_inline struct http_note *http_read_note(struct task_struct *task, struct sock *sk,
							__s64 length)
{
	struct http_note *note = bpf_task_storage_get(&http_notes, task, NULL, 0);

	if (!note || note->sk != (__u64)sk || note->length != length)
		return NULL;
	note->sk = 0;
	return note;
}

#endif /* NOTES_BPF_H */
