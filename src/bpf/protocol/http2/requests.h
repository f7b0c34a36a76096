/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is received: requests, and streams that the client gives up. Pure like frames.h.
 *
 * Nothing is counted before it is sure to be HTTP/2: before the server has sent SETTINGS, or, where the connection was
 * joined in the middle, before two heads of requests have come or one was answered.
 */
#ifndef HTTP2_REQUESTS_H
#define HTTP2_REQUESTS_H

#include "protocol/http2/streams.h"

/*
 * Requests that are still to be counted, now that it is sure that they are requests. Those that came before the server had
 * shown that it speaks HTTP/2 the sending side counts, since there may be no other receive.
 */
static HTTP_INLINE __u32 h2_count(struct h2_connection *conn, struct h2_exchange *out)
{
	__u32 shown = *(volatile __u32 *)&conn->shown;

	if (!shown && !(conn->request.flags & H2_JOINED))
		return 0;
	out->requests = conn->heads - conn->counted - (shown ? shown - 1 : 0);
	conn->counted += out->requests;
	return out->requests ? H2_REQUESTS : 0;
}

/* What was guessed is sure. */
static HTTP_INLINE void h2_trust(struct h2_connection *conn)
{
	__u32 i;

	conn->request.flags &= ~(H2_TENTATIVE | H2_FRESH);
	conn->request.last = conn->request.guessed;
	conn->heads += conn->request.pending;
	conn->request.pending = 0;
	for (i = 0; i < H2_STREAMS; i++)
		conn->streams[i].method &= ~H2_GUESSED;
}

/* To be called before each transfer that was received, as h2_begin() before each that is sent. */
static HTTP_INLINE void h2_begin_receive(struct h2_connection *conn, struct h2_exchange *out)
{
	h2_begin(&conn->request);
	/* The server has answered one of those that were guessed. */
	if (conn->request.flags & H2_FRESH && *(volatile __u32 *)&conn->shown)
		h2_trust(conn);
	out->outcome = conn->request.flags & H2_TENTATIVE ? 0 : h2_count(conn, out);
}

/* The guess was wrong, or nothing can be followed: what was taken for outstanding requests is given up. */
static HTTP_INLINE void h2_distrust(struct h2_connection *conn)
{
	__u32 i;

	if (!conn->request.pending)
		return;
	conn->request.pending = 0;
	for (i = 0; i < H2_STREAMS; i++)
		if (conn->streams[i].method & H2_GUESSED)
			conn->streams[i].method |= H2_CANCELLED;
}

/* A tentative direction has a head of a request. Two of them with a known method cannot be an accident. */
static HTTP_INLINE void h2_guess(struct h2_connection *conn)
{
	struct h2_direction *d = &conn->request;

	if (d->pending < 255)
		d->pending++;
	if (d->seen & H2_SEEN_METHOD && d->pending > 1)
		h2_trust(conn);
}

/* A block has been received. */
static HTTP_INLINE __u32 h2_receive_head(struct h2_connection *conn, __u64 now, struct h2_exchange *out)
{
	struct h2_direction *d = &conn->request;
	__u32 unknown = 0;

	if (d->seen & H2_SEEN_STATUS && d->flags & H2_FRESH)
		return H2_REFUTED; /* it is the client's end */
	if (d->of <= (d->flags & H2_TENTATIVE ? d->guessed : d->last) || !(d->of & 1))
		return 0;
	if (!(d->seen & H2_SEEN_METHOD)) {
		/* Trailers, or the head of a request that servers refuse. */
		if (!(d->seen & H2_SEEN_UNKNOWN))
			return 0;
		/* Nobody can tell which. */
		if (!(d->seen & H2_SEEN_PSEUDO))
			return d->flags & H2_TENTATIVE ? 0 : h2_unknown(d);
		d->method = HTTP_METHOD_UNKNOWN;
		unknown = h2_unknown(d);
	}
	out->stream = (struct h2_stream){ .time = now, .id = d->of, .method = d->method };
	if (d->flags & H2_TENTATIVE) {
		d->guessed = d->of;
		h2_guess(conn);
		if (d->flags & H2_TENTATIVE) {
			out->stream.method |= H2_GUESSED;
			return H2_HOLDS;
		}
	} else {
		d->last = d->of;
		d->guessed = d->of;
		conn->heads++;
	}
	return H2_HOLDS | unknown | h2_count(conn, out);
}

/* The client gives a stream up. The slot is left to the sending side, which may be about to answer. */
static HTTP_INLINE __u32 h2_receive_reset(struct h2_connection *conn, struct h2_stream *slot, __u64 now,
					  struct h2_exchange *out)
{
	__u8 flags = conn->request.flags;

	if (!slot || slot->method & H2_CANCELLED || (flags & H2_TENTATIVE && !(flags & H2_FRESH)))
		return 0;
	slot->method |= H2_CANCELLED;
	if (flags & H2_TENTATIVE || slot->answered || h2_is_in_doubt(conn, slot))
		return 0;
	h2_tell(out, slot, now);
	return H2_ABANDONED;
}

/* What an event of the receiving side means. `slot` is that of the stream that h2_stream_of() names. */
static HTTP_INLINE void h2_received(struct h2_connection *conn, enum h2_event event, struct h2_stream *slot,
				    __u64 now, struct h2_exchange *out)
{
	__u32 outcome = 0;

	switch (event) {
	case H2_HEAD:
		outcome = h2_receive_head(conn, now, out);
		break;
	case H2_RESET:
		outcome = h2_receive_reset(conn, slot, now, out);
		break;
	case H2_LOSS:
	case H2_RETREAT:
		h2_distrust(conn);
		if (conn->request.flags & H2_FRESH || (!conn->shown && !conn->heads))
			outcome = H2_REFUTED;
		break;
	default:
		break;
	}
	out->outcome = outcome;
}

#endif /* HTTP2_REQUESTS_H */
