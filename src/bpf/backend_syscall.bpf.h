/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The backend `syscall`: the exits of the system calls that move bytes. One body, and an entry point for
 * each call, so that other calls pay nothing.
 */
#ifndef BACKEND_SYSCALL_BPF_H
#define BACKEND_SYSCALL_BPF_H

static __always_inline void http_inode_receive(struct task_struct *task, const struct http_endpoint *endpoint,
					       struct http_transfer *transfer)
{
	struct http1_connection *conn = http_connection_of(endpoint);

	transfer->inode = endpoint->inode;
	if (conn || !http_is_no_server(endpoint))
		http_endpoint_receive(task, endpoint, conn, transfer);
}

static __always_inline void http_inode_send(struct task_struct *task, const struct http_endpoint *endpoint,
					    struct http_transfer *transfer)
{
	struct http1_connection *conn = http_connection_of(endpoint);

	transfer->inode = endpoint->inode;
	if (conn)
		http_send(task, conn, transfer);
	else
		http_stranger_send(endpoint);
}

static __always_inline void http_inode_transfer(struct task_struct *task, enum http_direction direction,
						const struct http_endpoint *endpoint,
						struct http_transfer *transfer)
{
	if (direction == HTTP_RECEIVE)
		http_inode_receive(task, endpoint, transfer);
	else
		http_inode_send(task, endpoint, transfer);
}

enum http_shape {
	HTTP_BUFFER,
	HTTP_VECTOR,
	HTTP_MESSAGE,
};

/* Where the system call's flags stand among its arguments. */
enum http_flags_at {
	HTTP_NO_FLAGS,
	HTTP_FLAGS_THIRD,
	HTTP_FLAGS_FOURTH,
};

/* A system call of the given shape has returned. */
static __always_inline int http_exit(struct trace_event_raw_sys_exit *ctx, enum http_direction direction,
				     enum http_shape shape, enum http_flags_at flags_at)
{
	struct task_struct *task;
	struct http_transfer *transfer;
	const struct pt_regs *regs;
	struct http_endpoint endpoint;
	int flags = 0;

	if (ctx->ret <= 0)
		return 0;
	task = http_current_task();
	regs = http_registers(task);
	if (flags_at == HTTP_FLAGS_THIRD)
		flags = PT_REGS_PARM3_SYSCALL(regs);
	else if (flags_at == HTTP_FLAGS_FOURTH)
		flags = PT_REGS_PARM4_SYSCALL(regs);
	if (flags & HTTP_MSG_NO_DATA)
		return 0;
	endpoint = http_endpoint_of(task, PT_REGS_PARM1_SYSCALL(regs));
	if (!endpoint.inode)
		return 0;
	transfer = http_transfer_of(direction, ctx->ret);
	if (!transfer)
		return 0;
	if (flags & HTTP_MSG_TRUNC)
		;
	else if (shape == HTTP_BUFFER)
		http_set_buffer(transfer, PT_REGS_PARM2_SYSCALL(regs), ctx->ret);
	else if (shape == HTTP_VECTOR)
		http_set_vector(transfer, PT_REGS_PARM2_SYSCALL(regs), PT_REGS_PARM3_SYSCALL(regs));
	else
		http_set_message(transfer, PT_REGS_PARM2_SYSCALL(regs));
	http_inode_transfer(task, direction, &endpoint, transfer);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_read")
int http_exit_read(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_RECEIVE, HTTP_BUFFER, HTTP_NO_FLAGS);
}

SEC("tracepoint/syscalls/sys_exit_recvfrom")
int http_exit_recvfrom(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_RECEIVE, HTTP_BUFFER, HTTP_FLAGS_FOURTH);
}

SEC("tracepoint/syscalls/sys_exit_readv")
int http_exit_readv(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_RECEIVE, HTTP_VECTOR, HTTP_NO_FLAGS);
}

SEC("tracepoint/syscalls/sys_exit_recvmsg")
int http_exit_recvmsg(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_RECEIVE, HTTP_MESSAGE, HTTP_FLAGS_THIRD);
}

SEC("tracepoint/syscalls/sys_exit_write")
int http_exit_write(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_SEND, HTTP_BUFFER, HTTP_NO_FLAGS);
}

SEC("tracepoint/syscalls/sys_exit_sendto")
int http_exit_sendto(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_SEND, HTTP_BUFFER, HTTP_NO_FLAGS);
}

SEC("tracepoint/syscalls/sys_exit_writev")
int http_exit_writev(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_SEND, HTTP_VECTOR, HTTP_NO_FLAGS);
}

SEC("tracepoint/syscalls/sys_exit_sendmsg")
int http_exit_sendmsg(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_SEND, HTTP_MESSAGE, HTTP_NO_FLAGS);
}

/* From a file or a pipe to a socket, or from a socket to a pipe: only the length is known. */
static __always_inline void http_exit_hidden(struct task_struct *task, enum http_direction direction, int fd,
					     __u64 length)
{
	struct http1_connection *conn;
	struct http_transfer *transfer;
	struct http_endpoint endpoint = http_endpoint_of(task, fd);

	conn = endpoint.inode ? http_connection_of(&endpoint) : NULL;
	if (!conn)
		return;
	if (direction == HTTP_RECEIVE) {
		http_receive_hidden(conn, length);
		return;
	}
	transfer = http_transfer_of(HTTP_SEND, length);
	if (transfer) {
		transfer->inode = endpoint.inode;
		http_send(task, conn, transfer);
	}
}

SEC("tracepoint/syscalls/sys_exit_sendfile64")
int http_exit_sendfile(struct trace_event_raw_sys_exit *ctx)
{
	struct task_struct *task;

	if (ctx->ret <= 0)
		return 0;
	task = http_current_task();
	http_exit_hidden(task, HTTP_SEND, PT_REGS_PARM1_SYSCALL(http_registers(task)), ctx->ret);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_splice")
int http_exit_splice(struct trace_event_raw_sys_exit *ctx)
{
	struct task_struct *task;
	const struct pt_regs *regs;

	if (ctx->ret <= 0)
		return 0;
	task = http_current_task();
	regs = http_registers(task);
	http_exit_hidden(task, HTTP_RECEIVE, PT_REGS_PARM1_SYSCALL(regs), ctx->ret);
	http_exit_hidden(task, HTTP_SEND, PT_REGS_PARM3_SYSCALL(regs), ctx->ret);
	return 0;
}

/* A recvmmsg or sendmmsg has returned: its messages are transfers one after another. */
struct http_many {
	struct http_endpoint endpoint;
	__u64 messages; /* the array in user memory */
	__u64 count;
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

__noinline int http_receive_message(__u32 i)
{
	struct http_many *many = http_many_of_cpu();
	struct http_transfer *transfer = many ? http_message_transfer(HTTP_RECEIVE, many, i) : NULL;

	if (!transfer)
		return 1;
	http_inode_receive(http_current_task(), &many->endpoint, transfer);
	return 0;
}

__noinline int http_send_message(__u32 i)
{
	struct http_many *many = http_many_of_cpu();
	struct http_transfer *transfer = many ? http_message_transfer(HTTP_SEND, many, i) : NULL;

	if (!transfer)
		return 1;
	http_inode_send(http_current_task(), &many->endpoint, transfer);
	return 0;
}

#define HTTP_MESSAGES 1024 /* UIO_MAXIOV: more in one call are refused */

/* Whether there are messages to look at. */
static __always_inline bool http_begin_many(struct trace_event_raw_sys_exit *ctx, enum http_flags_at flags_at)
{
	struct http_many *many = http_many_of_cpu();
	const struct pt_regs *regs;
	struct task_struct *task;

	if (!many || ctx->ret <= 0)
		return false;
	task = http_current_task();
	regs = http_registers(task);
	if (flags_at == HTTP_FLAGS_FOURTH && PT_REGS_PARM4_SYSCALL(regs) & HTTP_MSG_NO_DATA)
		return false;
	many->endpoint = http_endpoint_of(task, PT_REGS_PARM1_SYSCALL(regs));
	many->messages = PT_REGS_PARM2_SYSCALL(regs);
	many->count = ctx->ret;
	return many->endpoint.inode;
}

SEC("tracepoint/syscalls/sys_exit_recvmmsg")
int http_exit_recvmmsg(struct trace_event_raw_sys_exit *ctx)
{
	__u32 i;

	if (!http_begin_many(ctx, HTTP_FLAGS_FOURTH))
		return 0;
	for (i = 0; i < HTTP_MESSAGES; i++)
		if (http_receive_message(i))
			break;
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_sendmmsg")
int http_exit_sendmmsg(struct trace_event_raw_sys_exit *ctx)
{
	__u32 i;

	if (!http_begin_many(ctx, HTTP_NO_FLAGS))
		return 0;
	for (i = 0; i < HTTP_MESSAGES; i++)
		if (http_send_message(i))
			break;
	return 0;
}

#endif /* BACKEND_SYSCALL_BPF_H */
