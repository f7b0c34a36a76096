/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is sent: responses, the ends of streams, and with them gRPC calls. Pure like frames.h.
 */
#ifndef HTTP2_RESPONSES_H
#define HTTP2_RESPONSES_H

#include "protocol/http2/streams.h"

static HTTP_INLINE __u32 h2_free(struct h2_stream *slot)
{
	asm volatile("" ::: "memory"); /* nothing of it is touched from here on */
	slot->id = 0;
	return H2_FREES;
}

/*
 * Frees the slots of streams up to a number, and of those that the client has given up. What is free is the receiving
 * side's.
 */
static HTTP_INLINE void h2_sweep(struct h2_stream *slots, __u32 count, __u32 last)
{
	__u32 i;

	for (i = 0; i < count; i++)
		if (slots[i].id && (slots[i].id <= last || slots[i].method & H2_CANCELLED))
			h2_free(&slots[i]);
}

/*
 * To be called before each transfer that is sent: whether h2_sweep_more() is, too, if there is a second block. A stream
 * that the client has given up keeps its slot until that is wanted: the server may not have noticed, and answer it. One
 * whose end may have been lost keeps it no longer.
 */
static HTTP_INLINE int h2_begin_send(struct h2_connection *conn)
{
	struct h2_direction *d = &conn->response;
	int lost = d->state == H2_LOST && !(d->flags & H2_TENTATIVE);
	__u16 in_the_way = *(volatile __u16 *)&conn->in_the_way;

	h2_begin(d);
	if (in_the_way == conn->swept && !lost)
		return 0;
	conn->swept = in_the_way;
	h2_sweep(conn->streams, H2_STREAMS, d->last);
	return 1;
}

static HTTP_INLINE void h2_sweep_more(const struct h2_connection *conn, struct h2_more_streams *more)
{
	h2_sweep(more->slots, H2_MORE_STREAMS, conn->response.last);
}

/* The server has shown that it speaks HTTP/2: what has been received until now were requests. */
static HTTP_INLINE __u32 h2_show(struct h2_connection *conn, struct h2_exchange *out)
{
	__u32 heads;

	if (conn->shown)
		return 0;
	heads = conn->request.flags & H2_JOINED ? 0 : *(volatile __u32 *)&conn->heads;
	*(volatile __u32 *)&conn->shown = heads + 1;
	out->requests = heads;
	return heads ? H2_REQUESTS : 0;
}

/* Where a stream ends with a block: whether that was the end of a gRPC call, and which. */
static HTTP_INLINE __u32 h2_end_call(struct h2_direction *d, __u8 trailers, struct h2_exchange *out)
{
	if (d->seen & H2_SEEN_GRPC) {
		d->flags |= H2_GRPC;
		out->grpc = d->grpc;
		return H2_CALL;
	}
	/* A status that was indexed before the connection was seen is not said again. Trailers have hardly another use. */
	if (!(d->seen & H2_SEEN_UNKNOWN) || !(trailers || d->flags & H2_GRPC))
		return 0;
	out->grpc = H2_GRPC_UNKNOWN;
	return H2_CALL | h2_unknown(d);
}

/* The final response has begun. */
static HTTP_INLINE __u32 h2_answer(struct h2_direction *d, struct h2_stream *slot, struct h2_exchange *out)
{
	slot->status = d->seen & H2_SEEN_STATUS ? d->status : 0;
	slot->answered = 1;
	out->status = slot->status;
	return H2_RESPONSE | (slot->status || !(d->seen & H2_SEEN_UNKNOWN) ? 0 : h2_unknown(d));
}

/*
 * Whether a block without a slot is a response to a request that was not seen. It may also be one that the client has given
 * up, whose slot was wanted.
 */
static HTTP_INLINE int h2_is_unmatched(const struct h2_connection *conn)
{
	const struct h2_direction *d = &conn->response;

	return d->seen & H2_SEEN_STATUS && d->of & 1 && !(d->flags & H2_TENTATIVE) &&
	       (conn->request.flags & H2_LATE || !conn->swept);
}

/* What is outstanding may be answered without anybody seeing it. */
static HTTP_INLINE void h2_doubt(struct h2_connection *conn)
{
	conn->response.last = *(volatile __u32 *)&conn->request.guessed;
}

/* A block is sent. */
static HTTP_INLINE __u32 h2_send_head(struct h2_connection *conn, struct h2_stream *slot, __u64 now,
				      struct h2_exchange *out)
{
	struct h2_direction *d = &conn->response;
	__u32 outcome = 0;
	__u8 trailers;

	if (d->seen & H2_SEEN_STATUS && d->status && d->status < 200)
		return 0; /* the final one is to come */
	if (!slot)
		return h2_is_unmatched(conn) ? H2_UNMATCHED : 0;
	if (d->flags & H2_TENTATIVE) {
		if (!(d->seen & H2_SEEN_STATUS)) {
			h2_doubt(conn);
			return 0;
		}
		d->flags &= ~(H2_TENTATIVE | H2_FRESH);
		outcome |= h2_show(conn, out);
	}
	h2_tell(out, slot, now);
	trailers = slot->answered || (!(d->seen & H2_SEEN_STATUS) && h2_is_in_doubt(conn, slot));
	if (!(slot->method & H2_CANCELLED)) {
		if (!trailers)
			outcome |= h2_answer(d, slot, out);
		if (d->opening & H2_LAST_HEAD)
			outcome |= h2_end_call(d, trailers, out);
	}
	return d->opening & H2_LAST_HEAD ? outcome | h2_free(slot) : outcome;
}

/* The server resets a stream. After the stream's end that means nothing. */
static HTTP_INLINE __u32 h2_send_reset(const struct h2_connection *conn, struct h2_stream *slot, __u64 now,
				       struct h2_exchange *out)
{
	int refused = !slot->answered && !(slot->method & H2_CANCELLED) && !h2_is_in_doubt(conn, slot);

	h2_tell(out, slot, now);
	return (refused ? H2_REFUSED : 0) | h2_free(slot);
}

/* What an event of the sending side means. `slot` is that of the stream that h2_stream_of() names. */
static HTTP_INLINE void h2_sent(struct h2_connection *conn, enum h2_event event, struct h2_stream *slot,
				__u64 now, struct h2_exchange *out)
{
	int ends = slot && !(conn->response.flags & H2_TENTATIVE);
	__u32 outcome = 0;

	switch (event) {
	case H2_GREETED:
		outcome = h2_show(conn, out);
		break;
	case H2_HEAD:
		outcome = h2_send_head(conn, slot, now, out);
		break;
	case H2_ENDED:
		if (ends)
			outcome = h2_free(slot);
		break;
	case H2_RESET:
		if (ends)
			outcome = h2_send_reset(conn, slot, now, out);
		break;
	case H2_LOSS:
		if (!conn->shown)
			outcome = H2_REFUTED;
		h2_doubt(conn);
		break;
	case H2_RETREAT:
		h2_doubt(conn);
		break;
	default:
		break;
	}
	out->outcome = outcome;
}

#endif /* HTTP2_RESPONSES_H */
