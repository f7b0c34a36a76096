/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the events of both directions mean for the streams of a connection. Pure like frames.h.
 *
 * A request is outstanding in a slot: one of the connection's own, or one of a second block that the caller makes once it
 * is wanted, both addressed by the stream's number, or, where those are taken, wherever the caller keeps it. Streams are
 * numbered without gaps, so short ones hardly ever meet.
 *
 * The two directions may be followed at the same time on two CPUs. state.h says which of them writes what.
 */
#ifndef HTTP2_STREAMS_H
#define HTTP2_STREAMS_H

#include "protocol/http2/frames.h"

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

/* The numbers that belong to it. */
struct h2_exchange {
	__u64 duration; /* ns from the request's head to this event */
	__u32 requests;
	__u16 status; /* of the response; 0: unknown */
	__u16 grpc;   /* 0 to 16, H2_GRPC_OTHER or H2_GRPC_UNKNOWN */
	__u8 method;  /* enum http_method or H2_METHOD_UNKNOWN */
	__u8 pad[7];
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
	conn->request.flags = H2_FRESH;
	conn->response.flags = H2_FRESH | H2_RESPONSES;
}

/* One that HTTP/1 was upgraded to, by a request that HTTP/1 has counted. */
static HTTP_INLINE void h2_upgrade(struct h2_connection *conn, __u64 time, enum http_method method)
{
	h2_init(conn);
	conn->request.last = 1;
	conn->request.guessed = 1;
	conn->streams[0] = (struct h2_stream){ .time = time, .id = 1, .method = method };
}

/* The slot of a stream in the connection, whatever it holds. */
static HTTP_INLINE struct h2_stream *h2_slot(struct h2_connection *conn, __u32 id)
{
	return &conn->streams[(id >> 1) & (H2_STREAMS - 1)];
}

/* And in the second block. The compiler must not see that the comparison changes nothing: the verifier wants it. */
static HTTP_INLINE struct h2_stream *h2_more_slot(struct h2_more_streams *more, __u32 id)
{
	__u32 at = (id >> 1) % H2_MORE_STREAMS;

	asm volatile("" : "+r"(at));
	return at < H2_MORE_STREAMS ? &more->slots[at] : NULL;
}

/* The slot that holds a stream: NULL if neither does. `more` may be missing. */
static HTTP_INLINE struct h2_stream *h2_find(struct h2_connection *conn, struct h2_more_streams *more,
					     __u32 id)
{
	struct h2_stream *slot = h2_slot(conn, id);

	if (slot->id != id)
		slot = more ? h2_more_slot(more, id) : NULL;
	return id && slot && slot->id == id ? slot : NULL;
}

/* Puts an outstanding stream into a slot, if that is free. */
static HTTP_INLINE int h2_fill_slot(struct h2_connection *conn, struct h2_stream *slot,
				    const struct h2_stream *stream)
{
	if (slot->id) {
		if (slot->method & H2_CANCELLED)
			conn->in_the_way++;
		return 0;
	}
	slot->time = stream->time;
	slot->status = 0;
	slot->method = stream->method;
	slot->answered = 0;
	asm volatile("" ::: "memory"); /* it is found from here on */
	slot->id = stream->id;
	return 1;
}

/*
 * Whether a slot could be found; else the caller keeps the stream, or makes the second block first and asks again. What is
 * only guessed is worth no more than a slot of the connection.
 */
static HTTP_INLINE int h2_hold(struct h2_connection *conn, struct h2_more_streams *more,
			       const struct h2_stream *stream)
{
	struct h2_stream *slot;

	if (h2_fill_slot(conn, h2_slot(conn, stream->id), stream) || stream->method & H2_GUESSED)
		return 1;
	slot = more ? h2_more_slot(more, stream->id) : NULL;
	return slot && h2_fill_slot(conn, slot, stream);
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
}

/* Whether a stream may have been answered while the responses were not followed. */
static HTTP_INLINE int h2_is_in_doubt(const struct h2_connection *conn, const struct h2_stream *slot)
{
	const struct h2_direction *d = &conn->response;

	return d->state == H2_LOST || d->flags & H2_TENTATIVE || slot->id <= d->last;
}

/* ---- the receiving side ---- */

/*
 * Requests that are still to be counted, now that it is sure that they are requests. Those that came before the server had
 * shown that it speaks HTTP/2 the sending side counts, since there may be no other receive.
 */
static HTTP_INLINE __u32 h2_count(struct h2_connection *conn, struct h2_exchange *out)
{
	__u32 shown = *(volatile __u32 *)&conn->shown;

	if (!shown && !(conn->request.flags & H2_LATE))
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
static HTTP_INLINE __u32 h2_begin_receive(struct h2_connection *conn, struct h2_exchange *out)
{
	h2_begin(&conn->request);
	/* The server has answered one of those that were guessed. */
	if (conn->request.flags & H2_FRESH && *(volatile __u32 *)&conn->shown)
		h2_trust(conn);
	return conn->request.flags & H2_TENTATIVE ? 0 : h2_count(conn, out);
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
		d->method = H2_METHOD_UNKNOWN;
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

/* What an event of the receiving side means. `slot` is that of stream `stream`, where the event is H2_RESET. */
static HTTP_INLINE __u32 h2_received(struct h2_connection *conn, enum h2_event event, struct h2_stream *slot,
				     __u64 now, struct h2_exchange *out)
{
	switch (event) {
	case H2_HEAD:
		return h2_receive_head(conn, now, out);
	case H2_RESET:
		return h2_receive_reset(conn, slot, now, out);
	case H2_LOSS:
	case H2_RETREAT:
		h2_distrust(conn);
		return conn->request.flags & H2_FRESH || (!conn->shown && !conn->heads) ? H2_REFUTED : 0;
	default:
		return 0;
	}
}

/* ---- the sending side ---- */

static HTTP_INLINE __u32 h2_free(struct h2_stream *slot)
{
	asm volatile("" ::: "memory"); /* nothing of it is touched from here on */
	slot->id = 0;
	return H2_FREES;
}

/* Frees the slots of streams that the client has given up. Those that are free are the receiving side's. */
static HTTP_INLINE void h2_sweep_slots(struct h2_stream *slots, __u32 count)
{
	__u32 i;

	for (i = 0; i < count; i++)
		if (slots[i].id && slots[i].method & H2_CANCELLED)
			h2_free(&slots[i]);
}

/*
 * To be called before each transfer that is sent. A stream that the client has given up keeps its slot until that is
 * wanted: the server may not have noticed, and answer it.
 */
static HTTP_INLINE void h2_begin_send(struct h2_connection *conn, struct h2_more_streams *more)
{
	__u16 in_the_way = *(volatile __u16 *)&conn->in_the_way;

	h2_begin(&conn->response);
	if (in_the_way == conn->swept)
		return;
	conn->swept = in_the_way;
	h2_sweep_slots(conn->streams, H2_STREAMS);
	if (more)
		h2_sweep_slots(more->slots, H2_MORE_STREAMS);
}

/* The server has shown that it speaks HTTP/2: what has been received until now were requests. */
static HTTP_INLINE __u32 h2_show(struct h2_connection *conn, struct h2_exchange *out)
{
	__u32 heads;

	if (conn->shown)
		return 0;
	heads = conn->request.flags & H2_LATE ? 0 : *(volatile __u32 *)&conn->heads;
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
		if (!(d->seen & H2_SEEN_STATUS))
			return 0;
		d->flags &= ~(H2_TENTATIVE | H2_FRESH);
		d->last = *(volatile __u32 *)&conn->request.guessed;
		outcome |= h2_show(conn, out);
	}
	h2_tell(out, slot, now);
	trailers = slot->answered || (h2_is_in_doubt(conn, slot) && !(d->seen & H2_SEEN_STATUS));
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

/* The responses can no longer be followed: what they would have answered is given up. */
static HTTP_INLINE void h2_forget(struct h2_connection *conn, struct h2_more_streams *more)
{
	__u32 i;

	for (i = 0; i < H2_STREAMS; i++)
		if (conn->streams[i].id)
			h2_free(&conn->streams[i]);
	for (i = 0; more && i < H2_MORE_STREAMS; i++)
		if (more->slots[i].id)
			h2_free(&more->slots[i]);
}

/*
 * What an event of the sending side means. `slot` is that of stream `of` where the event is H2_HEAD, else that of stream
 * `stream`. After H2_LOSS the caller forgets what it keeps itself.
 */
static HTTP_INLINE __u32 h2_sent(struct h2_connection *conn, struct h2_more_streams *more,
				 enum h2_event event, struct h2_stream *slot, __u64 now,
				 struct h2_exchange *out)
{
	switch (event) {
	case H2_GREETED:
		return h2_show(conn, out);
	case H2_HEAD:
		return h2_send_head(conn, slot, now, out);
	case H2_ENDED:
		return slot && !(conn->response.flags & H2_TENTATIVE) ? h2_free(slot) : 0;
	case H2_RESET:
		return slot && !(conn->response.flags & H2_TENTATIVE) ? h2_send_reset(conn, slot, now, out) :
									0;
	case H2_LOSS:
		if (!conn->shown)
			return H2_REFUTED;
		h2_forget(conn, more);
		return 0;
	default:
		return 0;
	}
}

#endif /* HTTP2_STREAMS_H */
