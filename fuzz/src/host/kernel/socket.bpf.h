/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of TCP that never end and have nothing urgent. Those of which there is none tell nothing. */
#ifndef HOST_SOCKET_BPF_H
#define HOST_SOCKET_BPF_H

#include <bpf/bpf_helpers.h>

struct sock {
	__u32 copied_seq;
};

struct http_endpoint {
	struct sock *sk;
	__u64 inode;
};

static bool http_is_tcp(const struct sock *sk)
{
	return sk;
}

static __u32 http_copied_seq(const struct sock *sk)
{
	return sk->copied_seq;
}

static bool http_is_urgent_between(const struct sock *sk, __u32 from, __u32 to)
{
	(void)sk;
	(void)from;
	(void)to;
	return false;
}

static bool http_has_ended(const struct sock *sk)
{
	(void)sk;
	return false;
}

static __u16 http_port(const struct sock *sk)
{
	return sk ? 1 : 0;
}

#endif /* HOST_SOCKET_BPF_H */
