/* SPDX-License-Identifier: Apache-2.0 */
/* Every end that receives may be a server's: what the kernel knows to tell them apart is not to be had here. */
#ifndef HOST_END_BPF_H
#define HOST_END_BPF_H

#include "connection/storage.bpf.h"

enum {
	HTTP_LOOKS = 16,
	HTTP_JOINED = 1 << 5,
	HTTP_FROM_START = 1 << 6,
	HTTP_NOT_HTTP = 1 << 7,
	HTTP_NOT_SERVER = 0xff,
};

static __u8 *http_mark_of(const struct http_endpoint *endpoint)
{
	return (__u8 *)endpoint->sk;
}

static __u8 *http_mark_in(const struct http_endpoint *endpoint, const struct http_connection *known)
{
	(void)known;
	return http_mark_of(endpoint);
}

static void http_mark_not_server(const struct http_endpoint *endpoint)
{
	(void)endpoint;
}

static void http_looked_in_vain(const struct http_endpoint *endpoint, __u8 kind)
{
	(void)endpoint;
	(void)kind;
}

static __u8 http_looks_of(__u8 mark)
{
	return mark;
}

static bool http_is_tcp_client(const struct sock *sk)
{
	return sk;
}

static bool http_is_unix_client(const struct sock *sk)
{
	return sk;
}

static bool http_is_pair(const struct sock *sk)
{
	return sk;
}

/* So that sends are looked at only once there is a connection. */
static bool http_speaks_first(const struct sock *sk)
{
	return !sk;
}

static bool http_was_first(const struct sock *sk, const __u8 *mark, __u32 length)
{
	return sk && mark && length;
}

static bool http_is_new_unix(const struct sock *sk)
{
	return sk;
}

#endif /* HOST_END_BPF_H */
