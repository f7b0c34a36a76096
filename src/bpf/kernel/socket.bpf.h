/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel knows of a socket: whether it carries a stream, and whether it can be the server's end
 * of an HTTP/1 connection at all. A client's end must be told apart, not only for its cost: what it
 * downloads may look like requests.
 */
#ifndef SOCKET_BPF_H
#define SOCKET_BPF_H

enum {
	HTTP_AF_UNIX = 1,
	HTTP_AF_INET = 2,
	HTTP_AF_INET6 = 10,
	HTTP_SOCK_STREAM = 1,
	HTTP_IPPROTO_TCP = 6,
};

/* A field of a kernel structure at any address: directly where the kernel can (6.2), else by a copy. */
#define http_read(pointer, type, field)                                       \
	({                                                                    \
		typeof(((type *)0)->field) value;                             \
		void *structure = (void *)(pointer);                          \
		if (bpf_ksym_exists(bpf_rdonly_cast))                         \
			value = bpf_core_cast(structure, type)->field;        \
		else                                                          \
			BPF_CORE_READ_INTO(&value, (type *)structure, field); \
		value;                                                        \
	})

static __always_inline bool http_is_stream(__u16 type, __u16 family)
{
	return type == HTTP_SOCK_STREAM &&
	       (family == HTTP_AF_INET || family == HTTP_AF_INET6 || family == HTTP_AF_UNIX);
}

static __always_inline bool http_is_tcp(struct sock *sk)
{
	return http_read(sk, struct sock, sk_protocol) == HTTP_IPPROTO_TCP;
}

/* A unix socket that has no name and is connected to one that has: the other end was accepted. */
static __always_inline bool http_is_unix_client(struct sock *sk)
{
	struct sock *peer;

	if (http_read(sk, struct sock, __sk_common.skc_family) != HTTP_AF_UNIX ||
	    http_read(sk, struct unix_sock, addr))
		return false;
	peer = http_read(sk, struct unix_sock, peer);
	return peer && http_read(peer, struct unix_sock, addr);
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
			return received - (next - http_read(sk, struct tcp_sock, copied_seq));
	}
	return HTTP_UNKNOWN;
}

/* A TCP socket whose application sends before it has received: no HTTP/1 server does. */
static __always_inline bool http_speaks_first(struct sock *sk)
{
	return http_taken(sk) == 0;
}

/* Whether a receive of `length` bytes, which is over, was the first of a TCP stream. */
static __always_inline bool http_was_first(struct sock *sk, __u32 length)
{
	return http_taken(sk) == length;
}

#endif /* SOCKET_BPF_H */
