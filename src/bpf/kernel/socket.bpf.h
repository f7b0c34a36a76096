/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the kernel knows of a socket. */
#ifndef SOCKET_BPF_H
#define SOCKET_BPF_H

#include "kernel/read.bpf.h"

enum {
	HTTP_AF_UNIX = 1,
	HTTP_AF_INET = 2,
	HTTP_AF_INET6 = 10,
	HTTP_SOCK_STREAM = 1,
	HTTP_IPPROTO_TCP = 6,
	HTTP_RCV_SHUTDOWN = 1,
};

enum {
	HTTP_MSG_OOB = 0x1,
	HTTP_MSG_PEEK = 0x2,
	HTTP_MSG_TRUNC = 0x20,
	HTTP_MSG_ERRQUEUE = 0x2000,
	/* Not the next bytes of the stream. */
	HTTP_MSG_NO_DATA = HTTP_MSG_OOB | HTTP_MSG_PEEK | HTTP_MSG_ERRQUEUE,
};

/* A stream socket. Which of the two a program knows hangs on where state lies (connection/storage.bpf.h). */
struct http_endpoint {
	struct sock *sk;
	__u64 inode; /* its number */
};

static __always_inline bool http_is_stream(__u16 type, __u16 family)
{
	return type == HTTP_SOCK_STREAM &&
	       (family == HTTP_AF_INET || family == HTTP_AF_INET6 || family == HTTP_AF_UNIX);
}

static __always_inline bool http_is_tcp(struct sock *sk)
{
	return http_read(sk, struct sock, sk_protocol) == HTTP_IPPROTO_TCP;
}

/* TCP's sequence number of the next byte that the application will take. */
static __always_inline __u32 http_copied_seq(struct sock *sk)
{
	return http_read(sk, struct tcp_sock, copied_seq);
}

/* Whether TCP's urgent byte, which is no part of the stream unless somebody asked for that, has such a number. */
static __always_inline bool http_is_urgent_between(struct sock *sk, __u32 from, __u32 to)
{
	return http_read(sk, struct tcp_sock, urg_seq) - from < to - from;
}

/* Whether the application has taken the end of a TCP stream, which has a sequence number of its own. */
static __always_inline bool http_has_ended(struct sock *sk)
{
	return http_read(sk, struct sock, sk_shutdown) & HTTP_RCV_SHUTDOWN &&
	       http_copied_seq(sk) == http_read(sk, struct tcp_sock, rcv_nxt);
}

/* The port that a socket is bound to; 0 of a unix socket. */
static __always_inline __u16 http_port(struct sock *sk)
{
	if (http_read(sk, struct sock, __sk_common.skc_family) == HTTP_AF_UNIX)
		return 0;
	return http_read(sk, struct sock, __sk_common.skc_num);
}

#define HTTP_UNKNOWN 0xffffffff

/*
 * Bytes that the application has taken from a TCP stream; HTTP_UNKNOWN of another socket. What has come in
 * but was not taken does not count: the peer may have answered before a send is even looked at.
 */
static __always_inline __u32 http_taken(struct sock *sk)
{
	__u32 received, next;
	int i;

	if (!http_is_tcp(sk))
		return HTTP_UNKNOWN;
	/* Another CPU may be receiving: the two belong together only if they stay. */
	for (i = 0; i < 4; i++) {
		received = http_read(sk, struct tcp_sock, bytes_received);
		next = http_read(sk, struct tcp_sock, rcv_nxt);
		barrier();
		if (received == (__u32)http_read(sk, struct tcp_sock, bytes_received) &&
		    next == http_read(sk, struct tcp_sock, rcv_nxt))
			return received - (next - http_copied_seq(sk));
	}
	return HTTP_UNKNOWN;
}

#endif /* SOCKET_BPF_H */
