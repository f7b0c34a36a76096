/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the events of both directions mean for the streams of a connection: what is common to them. Pure like frames.h.
 *
 * The two directions may be followed at the same time on two CPUs: requests.h is for the receiving side, responses.h for
 * the sending one, and state.h says which of them writes what.
 */
#ifndef HTTP2_STREAMS_H
#define HTTP2_STREAMS_H

#include "protocol/http2/frames.h"
#include "protocol/http2/slots.h"

/* What an event has to be counted as: several of these at once. */
enum h2_outcome {
	H2_REQUESTS = 1 << 0,	 /* so many as `requests` says */
	H2_RESPONSE = 1 << 1,	 /* a final one */
	H2_CALL = 1 << 2,	 /* a gRPC call has come to its end: `grpc` says how */
	H2_ABANDONED = 1 << 3,	 /* the client gave up before there was a final response */
	H2_REFUSED = 1 << 4,	 /* the server did */
	H2_UNMATCHED = 1 << 5,	 /* a response to no request that was seen */
	H2_HOLDS = 1 << 6,	 /* `stream` is outstanding: to be given to h2_hold() */
	H2_FREES = 1 << 7,	 /* the slot is free, and nothing is to be kept of it elsewhere */
	H2_JOINED_LATE = 1 << 8, /* something is unknown: it was indexed before the connection was seen */
	H2_TABLE_AGED = 1 << 9,	 /* something is unknown: its entry is older than what is remembered */
	H2_REFUTED = 1 << 10,	 /* the connection is none of HTTP/2 */
};

/* That, and the numbers that belong to it. Volatile, so that all ways through an event meet again for the verifier. */
struct h2_exchange {
	__u64 duration; /* ns from the request's head to this event */
	volatile __u32 outcome;
	__u32 requests;
	__u16 status;		   /* of the response; 0: unknown */
	__u16 grpc;		   /* 0 to 16, H2_GRPC_OTHER or H2_GRPC_UNKNOWN */
	__u8 method;		   /* enum http_method or HTTP_METHOD_UNKNOWN */
	enum http_version version; /* of the request */
	__u8 pad[2];
	struct h2_stream stream;
};

/* A connection whose client has sent the preface, or is about to. */
static HTTP_INLINE void h2_init(struct h2_connection *conn)
{
	__builtin_memset(conn, 0, sizeof(*conn));
	conn->request.state = H2_PREFACE;
	conn->request.flags = H2_FIRST;
	conn->response.state = H2_FRAME;
	conn->response.flags = H2_FIRST | H2_RESPONSES;
}

/* One that may be HTTP/2, of which nothing has been seen. */
static HTTP_INLINE void h2_join(struct h2_connection *conn)
{
	__builtin_memset(conn, 0, sizeof(*conn));
	conn->request.flags = H2_FRESH | H2_TENTATIVE | H2_JOINED;
	conn->response.flags = H2_FRESH | H2_TENTATIVE | H2_RESPONSES;
}

/* One that HTTP/1 was upgraded to, by a request that HTTP/1 has counted. The server has shown that it speaks HTTP/2. */
static HTTP_INLINE void h2_upgrade(struct h2_connection *conn, __u64 time, enum http_method method)
{
	h2_init(conn);
	conn->request.last = 1;
	conn->request.guessed = 1;
	conn->shown = 1;
	conn->streams[0] = (struct h2_stream){ .time = time, .id = 1, .method = method | H2_UPGRADED };
}

/* The stream that an event is about, whose slot is to be found for it; 0 if none. */
static HTTP_INLINE __u32 h2_stream_of(const struct h2_direction *d, enum h2_event event)
{
	switch (event) {
	case H2_HEAD:
		return d->of;
	case H2_ENDED:
	case H2_RESET:
		return d->stream;
	default:
		return 0;
	}
}

/* What is unknown of a block is so for one of two reasons. */
static HTTP_INLINE __u32 h2_unknown(const struct h2_direction *d)
{
	return d->seen & H2_SEEN_AGED ? H2_TABLE_AGED : H2_JOINED_LATE;
}

/* The numbers of a stream at this event. */
static HTTP_INLINE void h2_tell(struct h2_exchange *out, const struct h2_stream *slot, __u64 now)
{
	out->duration = now > slot->time ? now - slot->time : 0;
	out->status = slot->status;
	out->method = slot->method & H2_METHODS;
	out->version = slot->method & H2_UPGRADED ? HTTP_VERSION_1_1 : HTTP_VERSION_2;
}

/* Whether a stream may have been answered while the responses were not followed. */
static HTTP_INLINE int h2_is_in_doubt(const struct h2_connection *conn, const struct h2_stream *slot)
{
	return slot->id <= conn->response.last || conn->response.flags & H2_TENTATIVE;
}

#endif /* HTTP2_STREAMS_H */
