/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What HTTP/2 looks like: its preface, and the heads of its frames. Pure, and without state.
 *
 * A connection that is joined in the middle shows no preface. Where every head of a frame keeps to all rules, from the
 * start of a transfer on and over the next ones, and the blocks between them can be read to their ends, it is only a
 * guess still: streams.h counts nothing before two of them were heads of requests.
 */
#ifndef HTTP2_DETECT_H
#define HTTP2_DETECT_H

#include "protocol/http1/text.h"
#include "protocol/http2/state.h"

enum {
	H2_PREFACE_LENGTH = 24,
	H2_FRAME_HEAD = 9,
	H2_STREAM_MAX = 0x7fffffff,
	H2_FRAME_MAX = 16 << 10, /* unless the other side has allowed more */
};

enum h2_type {
	H2_DATA,
	H2_HEADERS,
	H2_PRIORITY,
	H2_RST_STREAM,
	H2_SETTINGS,
	H2_PUSH_PROMISE,
	H2_PING,
	H2_GOAWAY,
	H2_WINDOW_UPDATE,
	H2_CONTINUATION,
};

/* Flags of frames. */
enum h2_bit {
	H2_END_STREAM = 0x01,
	H2_ACK = 0x01,
	H2_END_HEADERS = 0x04,
	H2_HAS_PADDING = 0x08,
	H2_PRIORITIZED = 0x20,
};

/* Octet number i of the preface. */
static HTTP_INLINE __u8 h2_preface_octet(__u8 i)
{
	return http1_letter(HTTP1_TEXT("PRI * HT"), HTTP1_TEXT("TP/2.0\r\n"), HTTP1_TEXT("\r\nSM\r\n\r\n"),
			    i);
}

/* Whether the stream of a frame is one that its type may come on: of both or of none are types that nobody knows. */
static HTTP_INLINE int h2_has_stream(__u8 type, __u32 stream)
{
	switch (type) {
	case H2_DATA:
	case H2_HEADERS:
	case H2_PRIORITY:
	case H2_RST_STREAM:
	case H2_PUSH_PROMISE:
	case H2_CONTINUATION:
		return stream != 0;
	case H2_SETTINGS:
	case H2_PING:
	case H2_GOAWAY:
		return stream == 0;
	default:
		return 1;
	}
}

static HTTP_INLINE int h2_has_length(__u8 type, __u32 length)
{
	switch (type) {
	case H2_RST_STREAM:
	case H2_WINDOW_UPDATE:
		return length == 4;
	case H2_SETTINGS:
		return length % 6 == 0;
	case H2_PING:
		return length == 8;
	case H2_GOAWAY:
		return length >= 8;
	default:
		return 1;
	}
}

/* Whether nobody refuses the frame of which the head is complete, and the connection with it. */
static HTTP_INLINE int h2_is_frame(const struct h2_direction *d)
{
	if (d->type == H2_PUSH_PROMISE && !(d->flags & H2_RESPONSES))
		return 0;
	return h2_has_stream(d->type, d->stream & H2_STREAM_MAX) && h2_has_length(d->type, d->left);
}

/* The flags that a type of frames has. */
static HTTP_INLINE __u8 h2_bits(__u8 type)
{
	switch (type) {
	case H2_DATA:
		return H2_END_STREAM | H2_HAS_PADDING;
	case H2_HEADERS:
		return H2_END_STREAM | H2_END_HEADERS | H2_HAS_PADDING | H2_PRIORITIZED;
	case H2_SETTINGS:
	case H2_PING:
		return H2_ACK;
	case H2_PUSH_PROMISE:
		return H2_END_HEADERS | H2_HAS_PADDING;
	case H2_CONTINUATION:
		return H2_END_HEADERS;
	default:
		return 0;
	}
}

/* Whether everything about it is usual, so that it is no accident. */
static HTTP_INLINE int h2_is_strict(const struct h2_direction *d)
{
	if (d->type > H2_CONTINUATION || d->left > H2_FRAME_MAX || d->stream > H2_STREAM_MAX ||
	    d->bits & ~h2_bits(d->type))
		return 0;
	if (d->type == H2_PRIORITY && d->left != 5)
		return 0;
	if (d->type == H2_SETTINGS && d->bits & H2_ACK && d->left)
		return 0;
	/* Clients open the odd ones, and hardly any server others. */
	return d->type == H2_WINDOW_UPDATE || d->type == H2_PRIORITY || !d->stream || d->stream & 1;
}

/*
 * Whether a server that has received nothing yet speaks HTTP/2: what it sends, `filled` bytes of it, begins with a whole
 * SETTINGS frame.
 */
static HTTP_INLINE int h2_greets(const __u8 *window, __u64 filled)
{
	__u64 head = __builtin_bswap64(http1_word(window));
	__u64 length = head >> 40;

	/* Type, flags and stream. */
	return filled >= H2_FRAME_HEAD + length && (head & 0xffffffffffULL) == (__u64)H2_SETTINGS << 32 &&
	       !window[8] && length % 6 == 0 && length <= H2_FRAME_MAX;
}

#endif /* HTTP2_DETECT_H */
