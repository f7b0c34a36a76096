/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The backend `sock`: the tracepoints sock_recv_length and sock_send_length, which every receive and send
 * of a socket passes, whatever system call it came by. They say how much was moved and not where: the user
 * buffers are found in the registers of the current system call.
 *
 * Two programs for each, of which user space loads one. Those of tp_btf cost less. Where the kernel runs
 * them with preemption on (preemption.bpf.c), those of the tracepoints' events take their place: the kernel
 * disables preemption for the buffers of perf, whose programs they are. They are given the socket's
 * address, which may not be used for socket storage.
 */
#ifndef SOCK_BPF_H
#define SOCK_BPF_H

#include "capture/calls.bpf.h"
#include "capture/iterator.bpf.h"
#include "capture/notes.bpf.h"
#include "connection/connection.bpf.h"
#include "connection/storage.bpf.h"
#include "connection/transfer.bpf.h"
#include "counters/missed.bpf.h"
#include "kernel/file.bpf.h"
#include "kernel/registers.bpf.h"
#include "kernel/socket.bpf.h"
#include "kernel/task.bpf.h"
#include <bpf/bpf_tracing.h>

/* Threads within a recvmmsg or sendmmsg: how many of its messages were seen. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u32);
} http_messages SEC(".maps");

/* Set by the first recvmmsg or sendmmsg of the host; most never see one. */
bool http_messages_used;

/* The number of the message that a thread within recvmmsg or sendmmsg has come to. */
static __always_inline __u32 http_next_message(__u32 messages)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 *seen = bpf_map_lookup_elem(&http_messages, &thread);
	__u32 index = seen && *seen < messages ? *seen : 0, next = index + 1;

	http_messages_used = true;
	if (next < messages)
		bpf_map_update_elem(&http_messages, &thread, &next, BPF_ANY);
	else
		bpf_map_delete_elem(&http_messages, &thread);
	return index;
}

/* Nothing was moved, or what is of no interest. An error also ends a recvmmsg or sendmmsg. */
static __always_inline void http_no_transfer(void)
{
	__u64 thread;

	http_drop_note();
	if (!http_messages_used)
		return;
	thread = bpf_get_current_pid_tgid();
	bpf_map_delete_elem(&http_messages, &thread);
}

/* Finds the user buffers of the transfer that the current system call makes. */
static __always_inline void http_locate_call(struct task_struct *task, struct sock *sk, bool missed,
					     struct http_transfer *transfer)
{
	const struct pt_regs *regs = http_registers(task);
	__u64 syscall = http_syscall_of(regs);
	__u32 index;

	if (http_uses_io_uring(task) && syscall != HTTP_NR_splice &&
	    http_endpoint_of(task, PT_REGS_PARM1_SYSCALL(regs)).sk != sk) {
		if (missed)
			http_miss(HTTP_MISSED_IO_URING, 1);
		return;
	}
	if (syscall == HTTP_NR_sendmmsg ||
	    /* One that ends by its time-out would leave its place behind for the next. */
	    (syscall == HTTP_NR_recvmmsg && !PT_REGS_PARM5_SYSCALL(regs))) {
		index = http_next_message(PT_REGS_PARM3_SYSCALL(regs));
		http_set_message(transfer, PT_REGS_PARM2_SYSCALL(regs) + index * sizeof(struct mmsghdr));
	} else if (!http_set_buffers(syscall, regs, transfer) && missed) {
		http_miss_syscall(task, syscall);
	}
}

/* Finds the user buffers of a transfer. */
static __always_inline void http_locate(struct task_struct *task, struct sock *sk, bool connected,
					struct http_transfer *transfer, enum http_direction direction)
{
	/* What is sent before there is a connection is not missed. */
	bool missed = connected || direction == HTTP_RECEIVE;
	struct http_note *note;

	if (!http_notes_taken || !http_needs_note(task)) {
		http_locate_call(task, sk, missed, transfer);
		return;
	}
	note = http_read_note(task, sk, direction);
	if (note)
		http_locate_message(task, connected, transfer, direction,
				    bpf_core_cast((void *)note->message, struct msghdr), note->size);
	else if (missed && http_is_compat(task))
		http_miss(HTTP_MISSED_COMPAT, 1);
	else if (missed)
		http_miss(HTTP_MISSED_IO_URING, 1);
}

/* A socket has received or sent `length` bytes. */
static __always_inline int http_sock_transfer(const struct http_endpoint *endpoint, int length, int flags,
					      enum http_direction direction)
{
	struct sock *sk = endpoint->sk;
	struct http_connection *known, *conn;
	struct http_transfer *transfer;
	struct task_struct *task;

	if (!http_is_stream(sk->sk_type, sk->__sk_common.skc_family) ||
	    (direction == HTTP_RECEIVE && flags & HTTP_MSG_NO_DATA))
		return 0;
	known = http_known_of(endpoint);
	if (!http_wants(endpoint, known, direction)) {
		http_no_transfer();
		return 0;
	}
	conn = http_connection_in(known);
	transfer = http_transfer_of(direction, length);
	if (!transfer)
		return 0;
	transfer->inode = endpoint->inode;
	task = bpf_get_current_task_btf();
	if (direction == HTTP_SEND || !(flags & HTTP_MSG_TRUNC)) /* which discards the bytes */
		http_locate(task, sk, conn, transfer, direction);
	if (conn && direction == HTTP_RECEIVE)
		http_skip_hidden(endpoint, conn, length);
	http_transferred(task, endpoint, conn, transfer, direction);
	return 0;
}

static __always_inline int http_sock_called(struct sock *sk, int ret, int flags,
					    enum http_direction direction)
{
	struct http_endpoint endpoint = { .sk = sk };

	if (ret > 0)
		return http_sock_transfer(&endpoint, ret, flags, direction);
	http_no_transfer();
	return 0;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(http_sock_recv, struct sock *sk, int ret, int flags)
{
	return http_sock_called(sk, ret, flags, HTTP_RECEIVE);
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(http_sock_send, struct sock *sk, int ret, int flags)
{
	return http_sock_called(sk, ret, flags, HTTP_SEND);
}

static __always_inline int http_sock_event(const struct trace_event_raw_sock_msg_length *event,
					   enum http_direction direction)
{
	struct http_endpoint endpoint;

	if (event->ret <= 0) {
		http_no_transfer();
		return 0;
	}
	endpoint = http_endpoint_of_socket(http_read(event->sk, struct sock, sk_socket));
	return endpoint.sk ? http_sock_transfer(&endpoint, event->ret, event->flags, direction) : 0;
}

SEC("tracepoint/sock/sock_recv_length")
int http_sock_recv_event(struct trace_event_raw_sock_msg_length *event)
{
	return http_sock_event(event, HTTP_RECEIVE);
}

SEC("tracepoint/sock/sock_send_length")
int http_sock_send_event(struct trace_event_raw_sock_msg_length *event)
{
	return http_sock_event(event, HTTP_SEND);
}

#endif /* SOCK_BPF_H */
