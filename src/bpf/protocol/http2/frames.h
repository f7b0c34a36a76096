/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * HTTP/2 frames (RFC 9113) of one direction of a connection, as a pure state machine: no helper, no map, no long loop.
 * The same source is compiled for BPF and for the host, where it is fuzzed against independent oracles.
 *
 * The caller walks a transfer with h2_advance(), which takes one frame head, or one octet of a header block with the
 * string and some indexed fields behind it, and passes over what is skipped next. Data, padding and strings that say
 * nothing are skipped by arithmetic, within one transfer or over many, so that they need not be seen at all.
 *
 * Every number of the walk lives in memory that the caller owns (map memory in BPF), never in a local: the verifier
 * knows nothing about such memory, so one pass over h2_advance() proves all passes.
 */
#ifndef HTTP2_FRAMES_H
#define HTTP2_FRAMES_H

#include "protocol/cursor.h"
#include "protocol/http2/detect.h"
#include "protocol/http2/hpack.h"

/* What is longer is an attempt to keep the CPU busy: servers refuse much less. */
enum {
	H2_BLOCK_PART = 64,
	H2_BLOCK_PARTS = (256 << 10) / H2_BLOCK_PART,
};

/* Where a direction is. */
enum h2_state {
	H2_LOST,     /* nothing is known until frames start at the start of a transfer */
	H2_PREFACE,  /* `count` of its octets were taken */
	H2_FRAME,    /* its head, of which `count` octets were taken */
	H2_PADDED,   /* how much padding a block's frame has */
	H2_BEFORE,   /* `count` octets before the fragment */
	H2_FRAGMENT, /* `left` octets of a block */
	H2_PADDING,  /* `left` octets behind it */
	H2_PAYLOAD,  /* `left` octets of any other frame */
};

/* What is to be known at the end of a block of how it began. */
enum h2_opening {
	H2_OPEN = 1 << 0,      /* nothing but its next frame may come */
	H2_PROMISES = 1 << 1,  /* the head of a request that the server invents */
	H2_LAST_HEAD = 1 << 2, /* the stream ends with it */
};

/* To be called before each transfer. */
static HTTP_INLINE void h2_begin(struct h2_direction *d)
{
	if (d->state != H2_LOST)
		return;
	d->state = H2_FRAME;
	d->flags = (d->flags & ~H2_FIRST) | H2_TENTATIVE | H2_LATE;
	d->opening = 0;
	d->count = 0;
	d->pending = 0;
	d->guessed = d->last;
	d->inserted = 0;
	__builtin_memset(d->kinds, 0, sizeof(d->kinds));
}

static HTTP_INLINE enum h2_event h2_lose(struct h2_direction *d)
{
	d->state = H2_LOST;
	return d->flags & H2_TENTATIVE ? H2_RETREAT : H2_LOSS;
}

/* The last frame of a block has come to its end. */
static HTTP_INLINE enum h2_event h2_end_block(struct h2_direction *d)
{
	__u8 opening = d->opening;

	if (d->field != H2_FIELD_START)
		return H2_LOSS;
	d->opening &= ~H2_OPEN;
	return opening & H2_PROMISES ? H2_NOTHING : H2_HEAD;
}

static HTTP_INLINE enum h2_event h2_end_frame(struct h2_direction *d)
{
	__u8 first = d->flags & H2_FIRST;

	d->state = H2_FRAME;
	d->flags &= ~H2_FIRST;
	if (first)
		return H2_GREETED;
	if (d->opening & H2_OPEN)
		return d->bits & H2_END_HEADERS ? h2_end_block(d) : H2_NOTHING;
	/* To the end of a request nothing is due. */
	if (d->type == H2_DATA && d->bits & H2_END_STREAM && d->flags & H2_RESPONSES)
		return H2_ENDED;
	return d->type == H2_RST_STREAM ? H2_RESET : H2_NOTHING;
}

/* Goes on behind what is complete. */
static HTTP_INLINE enum h2_event h2_settle(struct h2_direction *d)
{
	if (d->state == H2_BEFORE && !d->count)
		d->state = H2_FRAGMENT;
	if (d->state == H2_FRAGMENT && !d->left) {
		d->state = H2_PADDING;
		d->left = d->pad;
	}
	if (d->state >= H2_PADDING && !d->left)
		return h2_end_frame(d);
	return H2_NOTHING;
}

/* The octets of a frame of a block before its fragment, and those behind it, are known. */
static HTTP_INLINE enum h2_event h2_begin_fragment(struct h2_direction *d)
{
	if (d->left < (__u32)d->count + d->pad)
		return H2_LOSS;
	d->left -= (__u32)d->count + d->pad;
	if (d->left / H2_BLOCK_PART >= H2_BLOCK_PARTS)
		return H2_LOSS;
	d->block += d->left / H2_BLOCK_PART + 1;
	if (d->block > H2_BLOCK_PARTS)
		return H2_LOSS;
	d->state = H2_BEFORE;
	return H2_NOTHING;
}

/* The first frame of a block. */
static HTTP_INLINE void h2_begin_block(struct h2_direction *d)
{
	d->opening = H2_OPEN;
	if (d->type == H2_PUSH_PROMISE) {
		d->opening |= H2_PROMISES;
		d->count = 4;
	} else {
		if (d->bits & H2_END_STREAM)
			d->opening |= H2_LAST_HEAD;
		if (d->bits & H2_PRIORITIZED)
			d->count = 5;
	}
	d->of = d->stream;
	d->block = 0;
	d->seen = 0;
	d->field = H2_FIELD_START;
}

/* The head of a frame is complete. */
static HTTP_INLINE enum h2_event h2_begin_frame(struct h2_direction *d)
{
	if (!h2_is_frame(d) || (d->flags & H2_TENTATIVE && !h2_is_strict(d)))
		return H2_LOSS;
	d->stream &= H2_STREAM_MAX;
	d->count = 0;
	if (d->flags & H2_FIRST && (d->type != H2_SETTINGS || d->bits & H2_ACK))
		return H2_LOSS;
	if (d->opening & H2_OPEN) {
		if (d->type != H2_CONTINUATION || d->stream != d->of)
			return H2_LOSS;
		d->pad = 0;
		return h2_begin_fragment(d);
	}
	if (d->type == H2_CONTINUATION)
		return H2_LOSS;
	d->state = H2_PAYLOAD;
	if (d->type != H2_HEADERS && d->type != H2_PUSH_PROMISE)
		return H2_NOTHING;
	h2_begin_block(d);
	d->pad = 0;
	if (!(d->bits & H2_HAS_PADDING))
		return h2_begin_fragment(d);
	d->state = H2_PADDED;
	return d->left ? H2_NOTHING : H2_LOSS;
}

/* The head of a frame, which is whole. */
static HTTP_INLINE enum h2_event h2_frame_words(struct h2_direction *d, const __u8 *head)
{
	__u64 word = __builtin_bswap64(http1_word(head));

	d->left = word >> 40;
	d->type = word >> 32;
	d->bits = word >> 24;
	d->stream = word << 8 | head[8];
	return h2_begin_frame(d);
}

/* The next octet of a frame's head that is cut. */
static HTTP_INLINE enum h2_event h2_frame_octet(struct h2_direction *d, __u8 c)
{
	__u8 count = d->count++;

	if (count < 3) {
		d->left = (count ? d->left << 8 : 0) | c;
	} else if (count == 3) {
		d->type = c;
	} else if (count == 4) {
		d->bits = c;
	} else {
		d->stream = d->stream << 8 | c;
	}
	return count == 8 ? h2_begin_frame(d) : H2_NOTHING;
}

/* So many octets of what is at hand, or as many as there are, were passed over: returns how many. */
static HTTP_INLINE __u64 h2_skip(struct http_cursor *cur, __u64 wanted)
{
	__u64 rest = cur->length - cur->at;

	if (wanted > rest)
		wanted = rest;
	cur->at += wanted;
	cur->skipped += wanted;
	return wanted;
}

/* Whether the rest of the string that is being read says nothing. */
static HTTP_INLINE int h2_skips_string(const struct h2_direction *d)
{
	return d->state == H2_FRAGMENT && d->field >= H2_NAME && d->taken >= h2_reads(d);
}

static HTTP_INLINE void h2_skip_string(struct h2_direction *d, struct http_cursor *cur)
{
	__u32 octets = d->number < d->left ? d->number : d->left;

	octets = h2_skip(cur, octets);
	d->number -= octets;
	d->left -= octets;
}

enum {
	H2_INDEXED_A_STEP = 8, /* at most, and one before */
};

/* Some of the indexed fields that are an octet each, from an offset of the window on: a warm head has hardly anything else. */
static HTTP_INLINE enum h2_event h2_take_indexed(struct h2_direction *d, struct http_cursor *cur,
						 const __u8 *window)
{
	__u64 offset;
	__u16 kind;
	__u32 i;
	__u8 c;

	for (i = 0; i < H2_INDEXED_A_STEP; i++) {
		asm volatile("" : "+r"(i)); /* older kernels refuse a loop that clang has turned inside out */
		offset = cur->at - cur->base;
		if (!d->left || offset >= cur->filled)
			break;
		c = window[offset & (HTTP_WINDOW - 1)];
		if (c < 0x80 || c == 0xff)
			break;
		cur->at++;
		d->left--;
		kind = h2_resolve(d, c & 0x7f);
		if (kind == H2_INVALID)
			return H2_LOSS;
		h2_note(d, kind);
	}
	return H2_NOTHING;
}

/* The octet at an offset of the window, which is in a block, with the string that begins behind it. */
static HTTP_INLINE enum h2_event h2_block_step(struct h2_direction *d, struct http_cursor *cur,
					       const __u8 *window, __u64 offset)
{
	enum h2_octet octet = h2_block_octet(d, window[offset & (HTTP_WINDOW - 1)]);
	enum h2_event event = H2_NOTHING;

	cur->at++;
	d->left--;
	if (octet == H2_TOO_MUCH)
		return H2_LOSS;
	if (octet == H2_LAST)
		event = h2_end_number(d);
	if (octet == H2_LAST && d->field >= H2_NAME && d->number <= d->left &&
	    offset + 1 + d->number <= cur->filled) {
		cur->at += d->number;
		d->left -= d->number;
		h2_take_string(d, window + ((offset + 1) & (HTTP_WINDOW - 1)));
	}
	return event;
}

/* Whether what comes next is skipped, whether it can be seen or not. */
static HTTP_INLINE int h2_is_skipped(const struct h2_direction *d)
{
	return d->state == H2_LOST || d->state >= H2_PADDING || d->state == H2_BEFORE || h2_skips_string(d);
}

/* Skips what is, if that comes next. */
static HTTP_INLINE void h2_skip_step(struct h2_direction *d, struct http_cursor *cur)
{
	if (d->state == H2_LOST)
		cur->at = cur->length;
	else if (d->state >= H2_PADDING)
		d->left -= h2_skip(cur, d->left);
	else if (d->state == H2_BEFORE)
		d->count -= h2_skip(cur, d->count);
	else if (h2_skips_string(d))
		h2_skip_string(d, cur);
}

/* What is at an offset of the window. */
static HTTP_INLINE enum h2_event h2_seen_step(struct h2_direction *d, struct http_cursor *cur,
					      const __u8 *window, __u64 offset)
{
	__u8 c = window[offset & (HTTP_WINDOW - 1)];

	if (d->state == H2_FRAGMENT)
		return h2_block_step(d, cur, window, offset);
	if (d->state == H2_FRAME && !d->count && offset + H2_FRAME_HEAD <= cur->filled) {
		cur->at += H2_FRAME_HEAD;
		return h2_frame_words(d, window + (offset & (HTTP_WINDOW - 1)));
	}
	cur->at++;
	if (d->state == H2_FRAME)
		return h2_frame_octet(d, c);
	if (d->state == H2_PADDED) {
		d->pad = c;
		d->left--;
		return h2_begin_fragment(d);
	}
	if (c != h2_preface_octet(d->count))
		return H2_LOSS;
	if (++d->count == H2_PREFACE_LENGTH) {
		d->state = H2_FRAME;
		d->count = 0;
	}
	return H2_NOTHING;
}

/*
 * Takes what can be taken at once of the transfer under the cursor. The window holds `filled` bytes from offset `base` on,
 * followed by sixteen readable ones. The walk is over when `at` equals `length`. What nobody can see is taken likewise,
 * with nothing in the window: where H2_WINDOW_END is the answer, it meant something.
 */
static HTTP_INLINE enum h2_event h2_advance(struct h2_direction *d, struct http_cursor *cur,
					    const __u8 *window)
{
	__u64 offset = cur->at - cur->base;
	enum h2_event event = H2_NOTHING;

	if (!h2_is_skipped(d)) {
		if (offset >= cur->filled || offset >= HTTP_WINDOW)
			return H2_WINDOW_END;
		event = h2_seen_step(d, cur, window, offset);
	}
	if (event == H2_NOTHING && d->state == H2_FRAGMENT && d->field == H2_FIELD_START)
		event = h2_take_indexed(d, cur, window);
	if (event == H2_NOTHING)
		h2_skip_step(d, cur);
	if (event == H2_NOTHING && d->state == H2_FRAGMENT && d->field >= H2_NAME && !d->number)
		h2_end_string(d);
	if (event == H2_NOTHING && d->state != H2_LOST)
		event = h2_settle(d);
	return event == H2_LOSS ? h2_lose(d) : event;
}

/* How many bytes are worth to be brought into the window: a frame's head comes before what may be skipped. */
static HTTP_INLINE __u64 h2_wants(const struct h2_direction *d)
{
	return d->state == H2_FRAGMENT ? HTTP_WINDOW : HTTP_WINDOW / 8;
}

#endif /* HTTP2_FRAMES_H */
