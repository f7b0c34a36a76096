/* SPDX-License-Identifier: Apache-2.0 */
/* The one connection never becomes one of HTTP/2, which http2.c is about: nothing that HTTP/1 is tried with says that it is. */
#ifndef HOST_HTTP2_BPF_H
#define HOST_HTTP2_BPF_H

#include "connection/state.h"
#include "connection/transfer.bpf.h"
#include "kernel/socket.bpf.h"

#define HTTP2_PREFACE_ENOUGH 4

enum http2_beginning {
	HTTP2_WHOLE,
	HTTP2_JOINED,
};

static __u32 http2_preface_of(__u32 taken)
{
	(void)taken;
	return 0;
}

static bool http2_greets(const struct http_transfer *transfer)
{
	(void)transfer;
	return false;
}

static bool http2_may_begin(const struct http_transfer *transfer)
{
	(void)transfer;
	return false;
}

static bool http2_begin(struct http_connection *conn, enum http2_beginning beginning, __u8 taken)
{
	(void)conn;
	(void)beginning;
	(void)taken;
	return false;
}

static void http2_transferred(const struct http_endpoint *endpoint, struct http_connection *conn,
			      struct http_transfer *transfer, enum http_direction direction)
{
	(void)endpoint;
	(void)conn;
	(void)transfer;
	(void)direction;
}

static void http2_transferred_hidden(const struct http_endpoint *endpoint, struct http_connection *conn,
				     __u64 length, enum http_direction direction)
{
	(void)endpoint;
	(void)conn;
	(void)length;
	(void)direction;
}

static void http2_receive_around(struct http_connection *conn, __u64 hidden)
{
	(void)conn;
	(void)hidden;
}

#endif /* HOST_HTTP2_BPF_H */
