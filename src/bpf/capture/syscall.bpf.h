/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The backend `syscall`: the exits of the system calls that move bytes, and of no others, so that those pay
 * nothing. One program for several calls, since the verifier takes its time for each program.
 */
#ifndef SYSCALL_BPF_H
#define SYSCALL_BPF_H

#include "capture/calls.bpf.h"
#include "connection/connection.bpf.h"
#include "connection/storage.bpf.h"
#include "connection/transfer.bpf.h"
#include "kernel/file.bpf.h"
#include "kernel/registers.bpf.h"
#include "kernel/socket.bpf.h"
#include "kernel/task.bpf.h"

static __always_inline void http_call_transfer(struct task_struct *task, const struct http_endpoint *endpoint,
					       struct http_transfer *transfer, enum http_direction direction)
{
	struct http_connection *known = http_known_of(endpoint);

	transfer->inode = endpoint->inode;
	if (http_wants(endpoint, known, direction))
		http_transferred(task, endpoint, http_connection_in(known), transfer, direction);
}

/* The flags of a system call that receives. */
static __always_inline int http_flags_of_receive(int syscall, const struct pt_regs *regs)
{
	switch (syscall) {
	case HTTP_NR_recvmsg:
		return PT_REGS_PARM3_SYSCALL(regs);
	case HTTP_NR_recvfrom:
	case HTTP_NR_recvmmsg:
		return PT_REGS_PARM4_SYSCALL(regs);
	default:
		return 0;
	}
}

/* Attached by user space to the exits of read, readv, recvfrom and recvmsg. */
SEC("tracepoint")
int http_exit_receive(struct syscall_trace_exit *ctx)
{
	struct http_endpoint endpoint;
	struct http_transfer *transfer;
	const struct pt_regs *regs;
	struct task_struct *task;
	int flags;

	if (ctx->ret <= 0)
		return 0;
	task = http_current_task();
	regs = http_registers(task);
	flags = http_flags_of_receive(ctx->nr, regs);
	if (flags & HTTP_MSG_NO_DATA)
		return 0;
	endpoint = http_endpoint_of(task, PT_REGS_PARM1_SYSCALL(regs));
	if (!endpoint.inode)
		return 0;
	transfer = http_transfer_of(HTTP_RECEIVE, ctx->ret);
	if (!transfer)
		return 0;
	if (!(flags & HTTP_MSG_TRUNC)) /* which discards the bytes */
		http_set_buffers(ctx->nr, regs, transfer);
	http_call_transfer(task, &endpoint, transfer, HTTP_RECEIVE);
	return 0;
}

/* Attached by user space to the exits of write, writev, sendto, sendmsg, sendfile and splice. */
SEC("tracepoint")
int http_exit_send(struct syscall_trace_exit *ctx)
{
	struct http_endpoint endpoint;
	struct http_transfer *transfer;
	const struct pt_regs *regs;
	struct task_struct *task;
	int fd;

	if (ctx->ret <= 0)
		return 0;
	task = http_current_task();
	regs = http_registers(task);
	fd = ctx->nr == HTTP_NR_splice ? PT_REGS_PARM3_SYSCALL(regs) : PT_REGS_PARM1_SYSCALL(regs);
	endpoint = http_endpoint_of(task, fd);
	if (!endpoint.inode)
		return 0;
	transfer = http_transfer_of(HTTP_SEND, ctx->ret);
	if (!transfer)
		return 0;
	http_set_buffers(ctx->nr, regs, transfer);
	http_call_transfer(task, &endpoint, transfer, HTTP_SEND);
	return 0;
}

/* From a socket to a pipe: only the length is known. */
SEC("tracepoint/syscalls/sys_exit_splice")
int http_exit_splice(struct syscall_trace_exit *ctx)
{
	struct http_connection *conn;
	struct http_endpoint endpoint;
	struct task_struct *task;

	if (ctx->ret <= 0)
		return 0;
	task = http_current_task();
	endpoint = http_endpoint_of(task, PT_REGS_PARM1_SYSCALL(http_registers(task)));
	conn = endpoint.inode ? http_connection_of(&endpoint) : NULL;
	if (conn)
		http_transferred_hidden(&endpoint, conn, ctx->ret, HTTP_RECEIVE);
	return 0;
}

/* A recvmmsg or sendmmsg has returned: its messages are transfers one after another. */
struct http_many {
	struct http_endpoint endpoint;
	__u64 messages; /* the array in user memory */
	__u64 count;
	__u64 steps; /* of all its transfers, which are followed in one run of a program */
};

/* Per CPU, since no pointer can be handed to a global function. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http_many);
} http_many_here SEC(".maps");

static __always_inline struct http_many *http_many_of_cpu(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&http_many_here, &key);
}

/* The transfer of message number i; NULL if there is none. */
static __always_inline struct http_transfer *http_message_transfer(enum http_direction direction,
								   const struct http_many *many, __u32 i)
{
	struct http_transfer *transfer;
	struct mmsghdr message;

	if (i >= many->count ||
	    bpf_probe_read_user(&message, sizeof(message), (void *)(many->messages + i * sizeof(message))))
		return NULL;
	transfer = http_transfer_of(direction, message.msg_len);
	if (transfer)
		http_set_vector(transfer, (__u64)message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen);
	return transfer;
}

static __always_inline int http_message_transferred(__u32 i, enum http_direction direction)
{
	struct http_many *many = http_many_of_cpu();
	struct http_transfer *transfer = many ? http_message_transfer(direction, many, i) : NULL;

	if (!transfer)
		return 1;
	transfer->steps = many->steps;
	http_call_transfer(http_current_task(), &many->endpoint, transfer, direction);
	many->steps = transfer->steps;
	return 0;
}

__noinline int http_receive_message(__u32 i)
{
	return http_message_transferred(i, HTTP_RECEIVE);
}

__noinline int http_send_message(__u32 i)
{
	return http_message_transferred(i, HTTP_SEND);
}

#define HTTP_MESSAGES 1024 /* UIO_MAXIOV: more in one call are refused */

/* Whether there are messages to look at. A function, for what it needs on the stack, which no deeper one then lacks. */
static __noinline bool http_begin_many(struct syscall_trace_exit *ctx)
{
	struct http_many *many = http_many_of_cpu();
	const struct pt_regs *regs;
	struct task_struct *task;

	if (!many || ctx->ret <= 0)
		return false;
	task = http_current_task();
	regs = http_registers(task);
	if (http_flags_of_receive(ctx->nr, regs) & HTTP_MSG_NO_DATA)
		return false;
	many->endpoint = http_endpoint_of(task, PT_REGS_PARM1_SYSCALL(regs));
	many->messages = PT_REGS_PARM2_SYSCALL(regs);
	many->count = ctx->ret;
	many->steps = 0;
	return many->endpoint.inode;
}

SEC("tracepoint/syscalls/sys_exit_recvmmsg")
int http_exit_recvmmsg(struct syscall_trace_exit *ctx)
{
	__u32 i;

	if (!http_begin_many(ctx))
		return 0;
	for (i = 0; i < HTTP_MESSAGES; i++)
		if (http_receive_message(i))
			break;
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_sendmmsg")
int http_exit_sendmmsg(struct syscall_trace_exit *ctx)
{
	__u32 i;

	if (!http_begin_many(ctx))
		return 0;
	for (i = 0; i < HTTP_MESSAGES; i++)
		if (http_send_message(i))
			break;
	return 0;
}

#endif /* SYSCALL_BPF_H */
