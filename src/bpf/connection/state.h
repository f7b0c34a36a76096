/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What is kept of a connection. */
#ifndef STATE_H
#define STATE_H

#include "counters/tally.h"
#include "protocol/http1/pairing.h"

enum http_protocol {
	HTTP_PROTOCOL_HTTP1,
	HTTP_PROTOCOL_OPEN,    /* HTTP/1, as far as is known: it has not had a request yet */
	HTTP_PROTOCOL_GREETED, /* HTTP/2, though what it receives is HTTP/1, up to the preface */
	HTTP_PROTOCOL_HTTP2,   /* whose state lies elsewhere: http2_storage.bpf.h */
} __attribute__((packed));

/*
 * A connection's server end. What follows the bytes of its protocol knows nothing of the rest. Or what is known of a
 * socket that has no connection, of which all but the mark is zero.
 */
struct http_connection {
	__u64 id;	  /* names the connection where more is kept of it than fits in here */
	__u32 copied_seq; /* TCP's sequence number after the last receive that was seen */
	__u16 counted_by; /* the last walk that did */
	enum http_protocol protocol;
	__u8 mark; /* end.bpf.h says what it means */
	struct http_tally tally;
	union {
		struct http1_connection http1;
	};
};

/* The connection in what is known of a socket, if it has one. */
static __always_inline struct http_connection *http_connection_in(struct http_connection *known)
{
	return known && known->id ? known : NULL;
}

/* What is said of a connection to who counts them, in a byte. */
enum http_connection_kind {
	HTTP_KIND_NONE,
	HTTP_KIND_HTTP1,
	HTTP_KIND_HTTP2,
};

static __always_inline enum http_connection_kind http_kind_of(const struct http_connection *conn)
{
	return conn->protocol >= HTTP_PROTOCOL_GREETED ? HTTP_KIND_HTTP2 : HTTP_KIND_HTTP1;
}

#endif /* STATE_H */
