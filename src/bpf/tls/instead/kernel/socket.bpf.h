/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * In place of sockets: streams of TLS, as the functions of a library know them by an address. Which socket one uses, if any, nobody
 * asks. What the kernel tells of a socket the library's functions tell of a stream, or nobody does.
 */
#ifndef SOCKET_BPF_H
#define SOCKET_BPF_H

#include "connection/state.h"

enum tls_role {
	TLS_UNKNOWN, /* the stream is older than the agent */
	TLS_SERVER,
	TLS_CLIENT,
} __attribute__((packed));

struct tls_stream {
	struct http_connection conn; /* without an id: what is known of a stream that has none */
	enum tls_role role;
	bool received; /* anything, since its beginning */
	bool ended;    /* but for the calls that are still under way */
	bool flushes;  /* what it writes meanwhile was counted before */
	__u32 calls;   /* under way */
	__u64 put_off; /* where the bytes are of a write that could not be done yet */
};

struct http_endpoint {
	struct sock *sk; /* a stream, by the name that others have for it */
	__u64 inode;	 /* its address in the process */
};

static __always_inline struct tls_stream *tls_stream_of(struct sock *sk)
{
	return (struct tls_stream *)sk;
}

static __always_inline bool http_is_tcp(struct sock *sk)
{
	return false;
}

static __always_inline __u32 http_copied_seq(struct sock *sk)
{
	return 0;
}

static __always_inline bool http_is_urgent_between(struct sock *sk, __u32 from, __u32 to)
{
	return false;
}

static __always_inline bool http_has_ended(struct sock *sk)
{
	return false;
}

/* The socket's, which was told when the client said hello to it. */
static __always_inline __u16 http_port(struct sock *sk)
{
	return 0;
}

#endif /* SOCKET_BPF_H */
