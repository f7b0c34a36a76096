// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Counts the HTTP/1 requests and responses of every process, in the kernel.
 *
 * capture backend -> (connection, direction, bytes in user memory, length) -> framing -> counters
 *
 * Two backends find the same thing, and user space loads the programs of one of them:
 *
 * sock	    tp_btf/sock_recv_length and sock_send_length (Linux 6.3). They fire below every receive and
 *	    send of a socket and of nothing else, so that a read of a file costs nothing. State lies in
 *	    the socket's own storage and goes with it.
 * syscall  The exits of the system calls that move bytes. A hook on all exits at once (tp_btf/sys_exit)
 *	    would be charged to every system call of the host. The price: a file read pays for the look
 *	    at its descriptor, and a tracepoint program may not use socket storage, so that state lies in
 *	    a hash keyed by the socket's inode, where the least recently used connection goes first.
 *
 * Not chosen: enter and exit of a system call (the registers still hold the arguments at exit, so a
 * second hook and a map buy nothing); kprobes and trampolines (not to be had on locked-down kernels).
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "http.h"
#include "http1.h"
#include "http1_fast.h"

#ifndef NULL
#define NULL ((void *)0)
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The agent as the kernel numbers it: not what a pid namespace shows it. It does not count itself. */
__u32 agent_pid;

#include "stats.bpf.h"
#include "transfer.bpf.h"
#include "connection.bpf.h"
#include "syscall.bpf.h"

enum {
	HTTP_AF_UNIX = 1,
	HTTP_AF_INET = 2,
	HTTP_AF_INET6 = 10,
	HTTP_SOCK_STREAM = 1,
	HTTP_S_IFMT = 0170000,
	HTTP_S_IFSOCK = 0140000,
};

static __always_inline bool http_is_stream(__u16 type, __u16 family)
{
	return type == HTTP_SOCK_STREAM &&
	       (family == HTTP_AF_INET || family == HTTP_AF_INET6 || family == HTTP_AF_UNIX);
}

/* Run once by user space, on its own behalf. */
SEC("raw_tp")
int http_identify(void *ctx)
{
	agent_pid = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(http_process_exit, struct task_struct *task)
{
	if (task->signal->live.counter == 0)
		http_mark_exited(task);
	return 0;
}

/* ---- sock ---- */

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct http1_connection);
} http_connections SEC(".maps");

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
	__u32 index = seen ? *seen : 0, next = index + 1;

	http_messages_used = true;
	if (next < messages)
		bpf_map_update_elem(&http_messages, &thread, &next, BPF_ANY);
	else
		bpf_map_delete_elem(&http_messages, &thread);
	return index;
}

/* An error ends a recvmmsg or sendmmsg. */
static __always_inline void http_no_message(void)
{
	__u64 thread = bpf_get_current_pid_tgid();

	if (http_messages_used)
		bpf_map_delete_elem(&http_messages, &thread);
}

/* Finds the user buffers of the transfer that the current system call makes. */
static __always_inline void http_locate(struct http_transfer *transfer)
{
	struct pt_regs *regs = http_registers();
	__u64 syscall = http_syscall_of(regs);
	__u32 index;

	switch (syscall) {
	case HTTP_NR_read:
	case HTTP_NR_recvfrom:
	case HTTP_NR_write:
	case HTTP_NR_sendto:
		/* The registers of a kernel thread are all zero, which is a read to nowhere. */
		if (!PT_REGS_PARM2_SYSCALL(regs))
			break;
		http_set_buffer(transfer, PT_REGS_PARM2_SYSCALL(regs), transfer->cursor.length);
		return;
	case HTTP_NR_readv:
	case HTTP_NR_writev:
		http_set_vector(transfer, PT_REGS_PARM2_SYSCALL(regs), PT_REGS_PARM3_SYSCALL(regs));
		return;
	case HTTP_NR_recvmsg:
	case HTTP_NR_sendmsg:
		http_set_message(transfer, PT_REGS_PARM2_SYSCALL(regs));
		return;
	case HTTP_NR_recvmmsg:
	case HTTP_NR_sendmmsg:
		index = http_next_message(PT_REGS_PARM3_SYSCALL(regs));
		http_set_message(transfer, PT_REGS_PARM2_SYSCALL(regs) + index * sizeof(struct mmsghdr));
		return;
	case HTTP_NR_sendfile:
	case HTTP_NR_splice:
		return; /* from the page cache or a pipe: only its length is known */
	}
	http_miss_syscall(syscall);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(http_sock_recv, struct sock *sk, int ret, int flags)
{
	struct http1_connection *conn;
	struct http_transfer *transfer;

	if (ret <= 0) {
		http_no_message();
		return 0;
	}
	if (flags & HTTP_MSG_NO_DATA || !http_is_stream(sk->sk_type, sk->__sk_common.skc_family))
		return 0;
	transfer = http_transfer_of(HTTP_RECEIVE, ret);
	if (!transfer)
		return 0;
	if (!(flags & HTTP_MSG_TRUNC)) /* which discards the bytes */
		http_locate(transfer);
	conn = bpf_sk_storage_get(&http_connections, sk, NULL, 0);
	if (conn) {
		http_receive(conn, transfer);
		return 0;
	}
	conn = http_first_receive(transfer);
	if (conn && !bpf_sk_storage_get(&http_connections, sk, conn, BPF_SK_STORAGE_GET_F_CREATE))
		http_miss(connections_full, 1);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(http_sock_send, struct sock *sk, int ret, int flags)
{
	struct http1_connection *conn;
	struct http_transfer *transfer;

	if (ret <= 0) {
		http_no_message();
		return 0;
	}
	conn = bpf_sk_storage_get(&http_connections, sk, NULL, 0);
	if (!conn)
		return 0;
	transfer = http_transfer_of(HTTP_SEND, ret);
	if (!transfer)
		return 0;
	http_locate(transfer);
	http_send(conn, transfer);
	return 0;
}

/* ---- syscall ---- */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536); /* --max-connections */
	__type(key, __u64);	    /* the socket's inode number, which no living socket shares */
	__type(value, struct http1_connection);
} http_inodes SEC(".maps");

/* The inode number of a stream socket's descriptor, 0 of anything else. */
static __always_inline __u64 http_stream_inode(int fd)
{
	struct fdtable *table = bpf_get_current_task_btf()->files->fdt;
	struct socket *socket;
	struct inode *inode;
	struct file *file;

	if ((__u32)fd >= table->max_fds || bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd) ||
	    !file)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	if ((BPF_CORE_READ(inode, i_mode) & HTTP_S_IFMT) != HTTP_S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	if (!http_is_stream(BPF_CORE_READ(socket, type), BPF_CORE_READ(socket, sk, __sk_common.skc_family)))
		return 0;
	return BPF_CORE_READ(inode, i_ino);
}

static __always_inline void http_inode_receive(__u64 inode, struct http_transfer *transfer)
{
	struct http1_connection *conn = bpf_map_lookup_elem(&http_inodes, &inode);

	if (conn) {
		http_receive(conn, transfer);
		return;
	}
	conn = http_first_receive(transfer);
	if (conn && bpf_map_update_elem(&http_inodes, &inode, conn, BPF_ANY))
		http_miss(connections_full, 1);
}

static __always_inline void http_inode_send(__u64 inode, struct http_transfer *transfer)
{
	struct http1_connection *conn = bpf_map_lookup_elem(&http_inodes, &inode);

	if (conn)
		http_send(conn, transfer);
}

static __always_inline void http_inode_transfer(enum http_direction direction, __u64 inode,
						struct http_transfer *transfer)
{
	if (direction == HTTP_RECEIVE)
		http_inode_receive(inode, transfer);
	else
		http_inode_send(inode, transfer);
}

enum http_shape {
	HTTP_BUFFER,
	HTTP_VECTOR,
	HTTP_MESSAGE,
};

/* A system call of the given shape has returned. */
static __always_inline int http_exit(struct trace_event_raw_sys_exit *ctx, enum http_direction direction,
				     enum http_shape shape, int flags)
{
	struct pt_regs *regs = http_registers();
	struct http_transfer *transfer;
	__u64 inode;

	if (ctx->ret <= 0 || flags & HTTP_MSG_NO_DATA)
		return 0;
	inode = http_stream_inode(PT_REGS_PARM1_SYSCALL(regs));
	if (!inode)
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
	http_inode_transfer(direction, inode, transfer);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_read")
int http_exit_read(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_RECEIVE, HTTP_BUFFER, 0);
}

SEC("tracepoint/syscalls/sys_exit_recvfrom")
int http_exit_recvfrom(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_RECEIVE, HTTP_BUFFER, PT_REGS_PARM4_SYSCALL(http_registers()));
}

SEC("tracepoint/syscalls/sys_exit_readv")
int http_exit_readv(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_RECEIVE, HTTP_VECTOR, 0);
}

SEC("tracepoint/syscalls/sys_exit_recvmsg")
int http_exit_recvmsg(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_RECEIVE, HTTP_MESSAGE, PT_REGS_PARM3_SYSCALL(http_registers()));
}

SEC("tracepoint/syscalls/sys_exit_write")
int http_exit_write(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_SEND, HTTP_BUFFER, 0);
}

SEC("tracepoint/syscalls/sys_exit_sendto")
int http_exit_sendto(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_SEND, HTTP_BUFFER, 0);
}

SEC("tracepoint/syscalls/sys_exit_writev")
int http_exit_writev(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_SEND, HTTP_VECTOR, 0);
}

SEC("tracepoint/syscalls/sys_exit_sendmsg")
int http_exit_sendmsg(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit(ctx, HTTP_SEND, HTTP_MESSAGE, 0);
}

/* From a file or a pipe to a socket: only the length is known. */
static __always_inline int http_exit_bodies(struct trace_event_raw_sys_exit *ctx, int fd)
{
	struct http_transfer *transfer;
	__u64 inode;

	if (ctx->ret <= 0)
		return 0;
	inode = http_stream_inode(fd);
	if (!inode)
		return 0;
	transfer = http_transfer_of(HTTP_SEND, ctx->ret);
	if (transfer)
		http_inode_send(inode, transfer);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_sendfile64")
int http_exit_sendfile(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit_bodies(ctx, PT_REGS_PARM1_SYSCALL(http_registers()));
}

SEC("tracepoint/syscalls/sys_exit_splice")
int http_exit_splice(struct trace_event_raw_sys_exit *ctx)
{
	return http_exit_bodies(ctx, PT_REGS_PARM3_SYSCALL(http_registers()));
}

/* A recvmmsg or sendmmsg has returned: its messages are transfers one after another. */
struct http_many {
	__u64 inode;
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
	http_inode_receive(many->inode, transfer);
	return 0;
}

static long http_send_message(__u32 i, struct http_many *many)
{
	struct http_transfer *transfer = http_message_transfer(HTTP_SEND, many, i);

	if (!transfer)
		return 1;
	http_inode_send(many->inode, transfer);
	return 0;
}

#define HTTP_MESSAGES 1024 /* UIO_MAXIOV: more in one call are refused */

static __always_inline struct http_many http_messages_of(struct trace_event_raw_sys_exit *ctx)
{
	struct pt_regs *regs = http_registers();
	struct http_many many = {
		.messages = PT_REGS_PARM2_SYSCALL(regs),
		.count = ctx->ret,
	};

	if (ctx->ret > 0)
		many.inode = http_stream_inode(PT_REGS_PARM1_SYSCALL(regs));
	return many;
}

SEC("tracepoint/syscalls/sys_exit_recvmmsg")
int http_exit_recvmmsg(struct trace_event_raw_sys_exit *ctx)
{
	int flags = PT_REGS_PARM4_SYSCALL(http_registers());
	struct http_many many = http_messages_of(ctx);

	if (many.inode && !(flags & HTTP_MSG_NO_DATA))
		bpf_loop(HTTP_MESSAGES, http_receive_message, &many, 0);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_sendmmsg")
int http_exit_sendmmsg(struct trace_event_raw_sys_exit *ctx)
{
	struct http_many many = http_messages_of(ctx);

	if (many.inode)
		bpf_loop(HTTP_MESSAGES, http_send_message, &many, 0);
	return 0;
}
