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

	if (conn || !http_is_no_server(endpoint))
		http_endpoint_receive(task, endpoint, conn, transfer);
}

static __always_inline void http_inode_send(struct task_struct *task, const struct http_endpoint *endpoint,
					    struct http_transfer *transfer)
{
	struct http1_connection *conn = http_connection_of(endpoint);

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
	struct pt_regs *regs;
	struct http_endpoint endpoint;
	int flags = 0;

	if (ctx->ret <= 0)
		return 0;
	task = bpf_get_current_task_btf();
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
	if (transfer)
		http_send(task, conn, transfer);
}

SEC("tracepoint/syscalls/sys_exit_sendfile64")
int http_exit_sendfile(struct trace_event_raw_sys_exit *ctx)
{
	struct task_struct *task;

	if (ctx->ret <= 0)
		return 0;
	task = bpf_get_current_task_btf();
	http_exit_hidden(task, HTTP_SEND, PT_REGS_PARM1_SYSCALL(http_registers(task)), ctx->ret);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_splice")
int http_exit_splice(struct trace_event_raw_sys_exit *ctx)
{
	struct task_struct *task;
	struct pt_regs *regs;

	if (ctx->ret <= 0)
		return 0;
	task = bpf_get_current_task_btf();
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

static __always_inline struct http_transfer *http_message_transfer(enum http_direction direction,
								   struct http_many *many, __u32 i)
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

static long http_receive_message(__u32 i, struct http_many *many)
{
	struct http_transfer *transfer = http_message_transfer(HTTP_RECEIVE, many, i);

	if (!transfer)
		return 1;
	http_inode_receive(bpf_get_current_task_btf(), &many->endpoint, transfer);
	return 0;
}

static long http_send_message(__u32 i, struct http_many *many)
{
	struct http_transfer *transfer = http_message_transfer(HTTP_SEND, many, i);

	if (!transfer)
		return 1;
	http_inode_send(bpf_get_current_task_btf(), &many->endpoint, transfer);
	return 0;
}

#define HTTP_MESSAGES 1024 /* UIO_MAXIOV: more in one call are refused */

static __always_inline struct http_many http_messages_of(struct trace_event_raw_sys_exit *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = http_registers(task);
	struct http_many many = {
		.messages = PT_REGS_PARM2_SYSCALL(regs),
		.count = ctx->ret,
	};

	if (ctx->ret > 0)
		many.endpoint = http_endpoint_of(task, PT_REGS_PARM1_SYSCALL(regs));
	return many;
}

SEC("tracepoint/syscalls/sys_exit_recvmmsg")
int http_exit_recvmmsg(struct trace_event_raw_sys_exit *ctx)
{
	int flags = PT_REGS_PARM4_SYSCALL(http_registers(bpf_get_current_task_btf()));
	struct http_many many = http_messages_of(ctx);

	if (many.endpoint.inode && !(flags & HTTP_MSG_NO_DATA))
		bpf_loop(HTTP_MESSAGES, http_receive_message, &many, 0);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_sendmmsg")
int http_exit_sendmmsg(struct trace_event_raw_sys_exit *ctx)
{
	struct http_many many = http_messages_of(ctx);

	if (many.endpoint.inode)
		bpf_loop(HTTP_MESSAGES, http_send_message, &many, 0);
	return 0;
}

#endif /* BACKEND_SYSCALL_BPF_H */
