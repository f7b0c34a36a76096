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
#ifndef FEXIT_BPF_H
#define FEXIT_BPF_H

#include "capture/iterator.bpf.h"
#include "capture/notes.bpf.h"
#include "connection/connection.bpf.h"
#include "connection/storage.bpf.h"
#include "connection/transfer.bpf.h"
#include "kernel/socket.bpf.h"
#include "kernel/task.bpf.h"
#include <bpf/bpf_tracing.h>

static __always_inline int http_fexit_transfer(struct socket *socket, struct msghdr *message, __u64 size,
					       int flags, __s64 ret, enum http_direction direction)
{
	struct http_endpoint endpoint;
	struct http_connection *known, *conn;
	struct http_transfer *transfer;
	struct task_struct *task;

	if (ret <= 0 || flags & HTTP_MSG_NO_DATA)
		return 0;
	if (http_notes_taken) {
		http_take_note(socket, message, size, direction);
		return 0;
	}
	endpoint = http_endpoint_of_socket(socket);
	if (!endpoint.sk)
		return 0;
	known = http_known_of(&endpoint);
	if (!http_wants(&endpoint, known, direction))
		return 0;
	conn = http_connection_in(known);
	transfer = http_transfer_of(direction, ret);
	if (!transfer)
		return 0;
	transfer->inode = endpoint.inode;
	task = http_current_task();
	if (!(flags & HTTP_MSG_TRUNC)) /* which discards the bytes */
		http_locate_message(task, conn, transfer, direction, message, size);
	if (conn && direction == HTTP_RECEIVE)
		http_skip_hidden(&endpoint, conn, ret);
	http_transferred(task, &endpoint, conn, transfer, direction);
	return 0;
}

/* For each family of sockets, the programs at the entries and exits of its functions. */
#define HTTP_FEXIT_FAMILY(family, function)                                                             \
	SEC("fentry/" #function "_recvmsg")                                                             \
	int BPF_PROG(http_fentry_##family##_recv, struct socket *sock, struct msghdr *msg, size_t size, \
		     int flags)                                                                         \
	{                                                                                               \
		if (!(flags & HTTP_MSG_NO_DATA))                                                        \
			http_take_note(sock, msg, size, HTTP_RECEIVE);                                  \
		return 0;                                                                               \
	}                                                                                               \
                                                                                                        \
	SEC("fentry/" #function "_sendmsg")                                                             \
	int BPF_PROG(http_fentry_##family##_send, struct socket *sock, struct msghdr *msg, size_t size) \
	{                                                                                               \
		http_take_note(sock, msg, size, HTTP_SEND);                                             \
		return 0;                                                                               \
	}                                                                                               \
                                                                                                        \
	SEC("fexit/" #function "_recvmsg")                                                              \
	int BPF_PROG(http_fexit_##family##_recv, struct socket *sock, struct msghdr *msg, size_t size,  \
		     int flags, int ret)                                                                \
	{                                                                                               \
		return http_fexit_transfer(sock, msg, size, flags, ret, HTTP_RECEIVE);                  \
	}                                                                                               \
                                                                                                        \
	SEC("fexit/" #function "_sendmsg")                                                              \
	int BPF_PROG(http_fexit_##family##_send, struct socket *sock, struct msghdr *msg, size_t size,  \
		     int ret)                                                                           \
	{                                                                                               \
		return http_fexit_transfer(sock, msg, size, 0, ret, HTTP_SEND);                         \
	}

HTTP_FEXIT_FAMILY(inet, inet)
HTTP_FEXIT_FAMILY(inet6, inet6)
HTTP_FEXIT_FAMILY(unix, unix_stream)

/* A socket has sent from the page cache or a pipe: only the length is known. */
static __always_inline int http_fexit_page(struct socket *socket, __s64 ret)
{
	struct http_endpoint endpoint;
	struct http_connection *known, *conn;

	if (ret <= 0)
		return 0;
	endpoint = http_endpoint_of_socket(socket);
	if (!endpoint.sk)
		return 0;
	known = http_known_of(&endpoint);
	conn = http_connection_in(known);
	if (http_wants(&endpoint, known, HTTP_SEND) && conn)
		http_transferred_hidden(&endpoint, conn, ret, HTTP_SEND);
	return 0;
}

/*
 * Before Linux 6.5 sendfile and splice sent by functions of their own, one page at a time. Protocols other
 * than TCP pass it on to the function above.
 */
SEC("fexit/inet_sendpage")
int BPF_PROG(http_fexit_inet_page, struct socket *sock, struct page *page, int offset, size_t size, int flags,
	     ssize_t ret)
{
	if (sock->sk && !http_is_tcp(sock->sk))
		return 0;
	return http_fexit_page(sock, ret);
}

SEC("fexit/unix_stream_sendpage")
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
	struct http_connection *conn;

	if (ret <= 0)
		return 0;
	endpoint = http_endpoint_of_socket(sock);
	conn = endpoint.sk ? http_connection_of(&endpoint) : NULL;
	if (conn)
		http_transferred_hidden(&endpoint, conn, ret, HTTP_RECEIVE);
	return 0;
}

#endif /* FEXIT_BPF_H */
