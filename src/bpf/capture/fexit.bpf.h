/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The backend `fexit`: the exits of the functions by which each family of sockets receives and sends. They
 * are below the system calls, and so see what io_uring and 32-bit tasks move like anything else; the user
 * buffers are found in the message's iterator. sock_recvmsg and sock_sendmsg, which would be one hook for
 * all families, are inlined into their callers.
 *
 * A task may be preempted within such a program, and the kernel skips the program in other tasks on that
 * CPU until the first one goes on: with all the work in it, a busy server would lose whole time slices. So
 * these programs only take a note of the message, of the few tasks where that is needed, and leave the work
 * to the programs of the backend `sock`, which run a moment later and are not preempted. Others at the
 * functions' entries take the same note. If both were skipped, the transfer is counted as missed. Only where
 * the kernel has no such tracepoints, or still sends past them, and does not preempt, the work is done here.
 */
#ifndef BACKEND_FEXIT_BPF_H
#define BACKEND_FEXIT_BPF_H

static __always_inline int http_fexit_receive(struct socket *socket, struct msghdr *message, __u64 size,
					      int flags, int ret)
{
	struct http_endpoint endpoint;
	struct http1_connection *conn;
	struct http_transfer *transfer;
	struct task_struct *task;

	if (ret <= 0 || flags & HTTP_MSG_NO_DATA)
		return 0;
	if (http_notes_taken) {
		http_take_note(socket, message, size, HTTP_RECEIVE);
		return 0;
	}
	endpoint = http_endpoint_of_socket(socket);
	if (!endpoint.sk)
		return 0;
	conn = http_connection_of(&endpoint);
	if (!conn && http_is_no_server(&endpoint))
		return 0;
	transfer = http_transfer_of(HTTP_RECEIVE, ret);
	if (!transfer)
		return 0;
	transfer->inode = endpoint.inode;
	task = http_current_task();
	if (!(flags & HTTP_MSG_TRUNC)) /* which discards the bytes */
		http_locate_message(task, conn, transfer, HTTP_RECEIVE, message, size);
	if (conn)
		http_skip_hidden(conn, endpoint.sk, ret);
	http_endpoint_receive(task, &endpoint, conn, transfer);
	return 0;
}

static __always_inline int http_fentry_receive(struct socket *socket, struct msghdr *message, __u64 size,
					       int flags)
{
	if (!(flags & HTTP_MSG_NO_DATA))
		http_take_note(socket, message, size, HTTP_RECEIVE);
	return 0;
}

/* The connection that a socket sends on, if it is a server's. */
static __always_inline struct http1_connection *http_fexit_sender(struct socket *socket,
								  struct http_endpoint *endpoint)
{
	struct http1_connection *conn;

	*endpoint = http_endpoint_of_socket(socket);
	if (!endpoint->sk)
		return NULL;
	conn = http_connection_of(endpoint);
	if (!conn)
		http_stranger_send(endpoint);
	return conn;
}

static __always_inline int http_fexit_send(struct socket *socket, struct msghdr *message, __u64 size,
					   __s64 ret)
{
	struct http_endpoint endpoint;
	struct http1_connection *conn;
	struct http_transfer *transfer;
	struct task_struct *task;

	if (ret <= 0)
		return 0;
	if (http_notes_taken) {
		http_take_note(socket, message, size, HTTP_SEND);
		return 0;
	}
	conn = http_fexit_sender(socket, &endpoint);
	if (!conn)
		return 0;
	transfer = http_transfer_of(HTTP_SEND, ret);
	if (!transfer)
		return 0;
	transfer->inode = endpoint.inode;
	task = http_current_task();
	http_locate_message(task, conn, transfer, HTTP_SEND, message, size);
	http_send(task, conn, transfer);
	return 0;
}

/* From the page cache or a pipe: only the length is known. */
static __always_inline int http_fexit_page(struct socket *socket, __s64 ret)
{
	struct http_endpoint endpoint;
	struct http1_connection *conn;

	if (ret <= 0)
		return 0;
	conn = http_fexit_sender(socket, &endpoint);
	if (conn)
		http_send_hidden(conn, ret);
	return 0;
}

SEC("fentry/inet_recvmsg")
int BPF_PROG(http_fentry_inet_recv, struct socket *sock, struct msghdr *msg, size_t size, int flags)
{
	return http_fentry_receive(sock, msg, size, flags);
}

SEC("fentry/inet6_recvmsg")
int BPF_PROG(http_fentry_inet6_recv, struct socket *sock, struct msghdr *msg, size_t size, int flags)
{
	return http_fentry_receive(sock, msg, size, flags);
}

SEC("fentry/unix_stream_recvmsg")
int BPF_PROG(http_fentry_unix_recv, struct socket *sock, struct msghdr *msg, size_t size, int flags)
{
	return http_fentry_receive(sock, msg, size, flags);
}

SEC("fentry/inet_sendmsg")
int BPF_PROG(http_fentry_inet_send, struct socket *sock, struct msghdr *msg, size_t size)
{
	http_take_note(sock, msg, size, HTTP_SEND);
	return 0;
}

SEC("fentry/inet6_sendmsg")
int BPF_PROG(http_fentry_inet6_send, struct socket *sock, struct msghdr *msg, size_t size)
{
	http_take_note(sock, msg, size, HTTP_SEND);
	return 0;
}

SEC("fentry/unix_stream_sendmsg")
int BPF_PROG(http_fentry_unix_send, struct socket *sock, struct msghdr *msg, size_t size)
{
	http_take_note(sock, msg, size, HTTP_SEND);
	return 0;
}

SEC("fexit/inet_recvmsg")
int BPF_PROG(http_fexit_inet_recv, struct socket *sock, struct msghdr *msg, size_t size, int flags, int ret)
{
	return http_fexit_receive(sock, msg, size, flags, ret);
}

SEC("fexit/inet6_recvmsg")
int BPF_PROG(http_fexit_inet6_recv, struct socket *sock, struct msghdr *msg, size_t size, int flags, int ret)
{
	return http_fexit_receive(sock, msg, size, flags, ret);
}

SEC("fexit/unix_stream_recvmsg")
int BPF_PROG(http_fexit_unix_recv, struct socket *sock, struct msghdr *msg, size_t size, int flags, int ret)
{
	return http_fexit_receive(sock, msg, size, flags, ret);
}

SEC("fexit/inet_sendmsg")
int BPF_PROG(http_fexit_inet_send, struct socket *sock, struct msghdr *msg, size_t size, int ret)
{
	return http_fexit_send(sock, msg, size, ret);
}

SEC("fexit/inet6_sendmsg")
int BPF_PROG(http_fexit_inet6_send, struct socket *sock, struct msghdr *msg, size_t size, int ret)
{
	return http_fexit_send(sock, msg, size, ret);
}

SEC("fexit/unix_stream_sendmsg")
int BPF_PROG(http_fexit_unix_send, struct socket *sock, struct msghdr *msg, size_t size, int ret)
{
	return http_fexit_send(sock, msg, size, ret);
}

/*
 * Before Linux 6.5 sendfile and splice sent by functions of their own, one page at a time. Protocols other
 * than TCP pass it on to the function above.
 */
SEC("?fexit/inet_sendpage")
int BPF_PROG(http_fexit_inet_page, struct socket *sock, struct page *page, int offset, size_t size, int flags,
	     ssize_t ret)
{
	if (sock->sk && !http_is_tcp(sock->sk))
		return 0;
	return http_fexit_page(sock, ret);
}

SEC("?fexit/unix_stream_sendpage")
int BPF_PROG(http_fexit_unix_page, struct socket *sock, struct page *page, int offset, size_t size, int flags,
	     ssize_t ret)
{
	return http_fexit_page(sock, ret);
}

/* From a unix socket to a pipe. Of TCP that shows in the sequence number. */
SEC("fexit/unix_stream_splice_read")
int BPF_PROG(http_fexit_unix_splice, struct socket *sock, loff_t *position, struct pipe_inode_info *pipe,
	     size_t size, unsigned int flags, ssize_t ret)
{
	struct http_endpoint endpoint;
	struct http1_connection *conn;

	if (ret <= 0)
		return 0;
	endpoint = http_endpoint_of_socket(sock);
	conn = endpoint.sk ? http_connection_of(&endpoint) : NULL;
	if (conn)
		http_receive_hidden(conn, ret);
	return 0;
}

#endif /* BACKEND_FEXIT_BPF_H */
