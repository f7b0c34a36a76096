/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The backend `sock`: tp_btf/sock_recv_length and sock_send_length, which every receive and send of a
 * socket passes, whatever system call it came by. They say how much was moved and not where: the user
 * buffers are found in the registers of the current system call.
 */
#ifndef BACKEND_SOCK_BPF_H
#define BACKEND_SOCK_BPF_H

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct http1_connection);
} http_connections SEC(".maps");

/*
 * TCP sockets that are known not to be an HTTP/1 server's end: those that spoke first, and those whose
 * first bytes were no request. One look at this instead of one at the bytes of each receive. Only what was
 * seen from its beginning is marked, so that a stream joined in the middle of a body is still found out.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u8);
} http_strangers SEC(".maps");

static __always_inline bool http_is_stranger(struct sock *sk)
{
	return bpf_sk_storage_get(&http_strangers, sk, NULL, 0) != NULL;
}

static __always_inline void http_mark_stranger(struct sock *sk)
{
	bpf_sk_storage_get(&http_strangers, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

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

/* An error ends a recvmmsg or sendmmsg, and the messages of a stranger are of no interest. */
static __always_inline void http_no_message(void)
{
	__u64 thread;

	if (!http_messages_used)
		return;
	thread = bpf_get_current_pid_tgid();
	bpf_map_delete_elem(&http_messages, &thread);
}

/* Finds the user buffers of the transfer that the current system call makes. */
static __always_inline void http_locate(struct task_struct *task, struct http_transfer *transfer)
{
	struct pt_regs *regs = http_registers(task);
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
		/* One that ends by its time-out would leave its place behind for the next. */
		if (PT_REGS_PARM5_SYSCALL(regs))
			break;
		__attribute__((fallthrough));
	case HTTP_NR_sendmmsg:
		index = http_next_message(PT_REGS_PARM3_SYSCALL(regs));
		http_set_message(transfer, PT_REGS_PARM2_SYSCALL(regs) + index * sizeof(struct mmsghdr));
		return;
	case HTTP_NR_sendfile:
	case HTTP_NR_splice:
		return; /* from the page cache or a pipe: only its length is known */
	}
	http_miss_syscall(task, syscall);
}

/*
 * Bytes that left the receive queue by a way that passes no hook (splice, zero-copy) show in TCP's
 * sequence number: within a body they are skipped like any others.
 */
static __always_inline void http_skip_hidden(struct http1_connection *conn, struct sock *sk, __u32 length)
{
	__u32 copied_seq, hidden;

	if (sk->sk_protocol != HTTP_IPPROTO_TCP)
		return;
	copied_seq = http_read(sk, struct tcp_sock, copied_seq);
	hidden = copied_seq - conn->copied_seq - length;
	conn->copied_seq = copied_seq;
	if (hidden)
		http_receive_hidden(conn, hidden);
}

/* A byte for each connection that has state: user space counts them. */
SEC("iter/bpf_sk_storage_map")
int http_sock_tracked(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	char mark = 0;

	if (ctx->value)
		bpf_seq_write(ctx->meta->seq, &mark, sizeof(mark));
	return 0;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(http_sock_recv, struct sock *sk, int ret, int flags)
{
	struct http1_connection *conn;
	struct http_transfer *transfer;
	struct task_struct *task;

	if (ret <= 0) {
		http_no_message();
		return 0;
	}
	if (flags & HTTP_MSG_NO_DATA || !http_is_stream(sk->sk_type, sk->__sk_common.skc_family))
		return 0;
	conn = bpf_sk_storage_get(&http_connections, sk, NULL, 0);
	if (!conn && (http_is_stranger(sk) || http_is_unix_client(sk))) {
		http_no_message();
		return 0;
	}
	transfer = http_transfer_of(HTTP_RECEIVE, ret);
	if (!transfer)
		return 0;
	task = bpf_get_current_task_btf();
	if (!(flags & HTTP_MSG_TRUNC)) /* which discards the bytes */
		http_locate(task, transfer);
	if (conn) {
		http_skip_hidden(conn, sk, ret);
		http_receive(task, conn, transfer);
		return 0;
	}
	conn = http_first_receive(task, transfer);
	if (conn) {
		if (sk->sk_protocol == HTTP_IPPROTO_TCP)
			conn->copied_seq = http_read(sk, struct tcp_sock, copied_seq);
		if (!bpf_sk_storage_get(&http_connections, sk, conn, BPF_SK_STORAGE_GET_F_CREATE))
			http_miss(connections_full, 1);
	} else if (transfer->cursor.filled && http_was_first(sk, ret)) { /* and its bytes were seen */
		http_mark_stranger(sk);
	}
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(http_sock_send, struct sock *sk, int ret, int flags)
{
	struct http1_connection *conn;
	struct http_transfer *transfer;
	struct task_struct *task;

	if (ret <= 0) {
		http_no_message();
		return 0;
	}
	conn = bpf_sk_storage_get(&http_connections, sk, NULL, 0);
	if (!conn) {
		if (http_speaks_first(sk) && !http_is_stranger(sk))
			http_mark_stranger(sk);
		return 0;
	}
	transfer = http_transfer_of(HTTP_SEND, ret);
	if (!transfer)
		return 0;
	task = bpf_get_current_task_btf();
	http_locate(task, transfer);
	http_send(task, conn, transfer);
	return 0;
}

#endif /* BACKEND_SOCK_BPF_H */
