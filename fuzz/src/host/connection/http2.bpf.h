/* SPDX-License-Identifier: Apache-2.0 */
/* Where the one connection becomes one of HTTP/2, which http2.c is about, is noted, and it is followed no further. */
#ifndef HOST_HTTP2_BPF_H
#define HOST_HTTP2_BPF_H

#include "connection/state.h"
#include "connection/transfer.bpf.h"
#include "kernel/socket.bpf.h"
#include "protocol/http2/detect.h"

enum http2_beginning {
	HTTP2_GREETED,
	HTTP2_JOINED,
};

static void shim_switch(enum http_direction direction);

static bool http2_greets(const struct http_transfer *transfer)
{
	return h2_greets(transfer->window, transfer->cursor.filled);
}

static bool http2_may_begin(const struct http_transfer *transfer)
{
	(void)transfer;
	return false;
}

static bool http2_begin(struct http_connection *conn, enum http2_beginning beginning)
{
	shim_switch(HTTP_SEND);
	conn->protocol = HTTP_PROTOCOL_GREETED;
	return beginning == HTTP2_GREETED;
}

static bool http2_take_over(struct http_connection *conn, enum http_direction direction)
{
	shim_switch(direction);
	if (direction == HTTP_SEND)
		http1_upgraded(&conn->http1);
	conn->protocol = direction == HTTP_SEND ? HTTP_PROTOCOL_GREETED : HTTP_PROTOCOL_HTTP2;
	return true;
}

static bool http2_lacks_preface(const struct http_connection *conn)
{
	(void)conn;
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
