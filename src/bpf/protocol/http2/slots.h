/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where the outstanding requests of a connection are: in slots of its own, or in those of a second block that the caller
 * makes once it is wanted, both addressed by the stream's number, or, where those are taken, wherever the caller keeps
 * them. Streams are numbered without gaps, so short ones hardly ever meet.
 */
#ifndef HTTP2_SLOTS_H
#define HTTP2_SLOTS_H

#include "protocol/http2/state.h"

/* The slot of a stream in the connection, whatever it holds. */
static HTTP_INLINE struct h2_stream *h2_slot(struct h2_connection *conn, __u32 id)
{
	return &conn->streams[(id >> 1) & (H2_STREAMS - 1)];
}

/* And in the second block. The compiler must not see that the comparison changes nothing, nor move it: the verifier wants it. */
static HTTP_INLINE struct h2_stream *h2_more_slot(struct h2_more_streams *more, __u32 id)
{
	__u64 at = (id >> 1) % H2_MORE_STREAMS;

	asm volatile("" : "+r"(at));
	if (at >= H2_MORE_STREAMS)
		return NULL;
	asm volatile("" : "+r"(at));
	return &more->slots[at];
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

#endif /* HTTP2_SLOTS_H */
