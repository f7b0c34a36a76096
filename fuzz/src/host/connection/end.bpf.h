/* SPDX-License-Identifier: Apache-2.0 */
/* Every end may be a server's: what the kernel knows to tell them apart is not to be had here. */
#ifndef HOST_END_BPF_H
#define HOST_END_BPF_H

#include "connection/storage.bpf.h"

static bool http_is_marked(const struct http_endpoint *endpoint)
{
	return endpoint->sk;
}

static void http_mark_not_server(const struct http_endpoint *endpoint)
{
	(void)endpoint;
}

static bool http_speaks_first(const struct sock *sk)
{
	return sk;
}

static bool http_was_first(const struct sock *sk, __u32 length)
{
	return sk && length;
}

static bool http_is_not_server(const struct http_endpoint *endpoint)
{
	return endpoint->sk;
}

#endif /* HOST_END_BPF_H */
