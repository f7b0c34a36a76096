/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The common case of HTTP/1 framing: a whole head in the window, written the way nearly all programs
 * write it. Eight bytes at a time where http1_byte() takes one. Whatever is unusual is refused with the
 * stream untouched, and the state machine takes it from there: of a stream that was seen from its first byte
 * nothing is decided here but how fast. Of one joined in the middle a whole head settles what is only guessed.
 *
 * For the verifier: the loop's index is exact, and every result goes through memory, so that all ways
 * through one step meet again before the next.
 */
#ifndef HTTP1_FAST_H
#define HTTP1_FAST_H

#include "protocol/cursor.h"
#include "protocol/http1/framing.h"
#include "protocol/http1/pairing.h"
#include "protocol/http1/text.h"

/* What a whole head says. Volatile for the reason above. */
struct http1_head {
	volatile __u64 filled;	  /* bytes in the window */
	volatile __u64 start;	  /* where to look next: the target, then the header lines */
	volatile __u64 end;	  /* its length */
	volatile __u64 length_at; /* the line of Content-Length */
	volatile __u64 coding_at; /* the line of Transfer-Encoding */
	volatile __u32 lengths;	  /* how many there are of each */
	volatile __u32 codings;
	volatile __u64 length;
	volatile __u16 flags;
	volatile __u16 status;
	volatile __u8 minor;
	volatile enum http_method method;
};

/* The value of up to seven decimal digits and the CR LF behind them; -1 if it is not that. */
static HTTP_INLINE __s64 http1_fast_number(const __u8 *text)
{
	__u64 digits = http1_word(text);
	__u64 end = http1_bytes_equal(digits, '\r');
	__u64 count = http1_first_byte(end);

	if (!end || !count || text[count + 1] != '\n')
		return -1;
	/* The digits move to the high bytes, and zeros come before them. */
	digits = digits << (64 - 8 * count) | HTTP1_EACH('0') >> 8 * count;
	if (((digits - HTTP1_EACH('0')) | (digits + HTTP1_EACH(0x7f - '9'))) & HTTP1_EACH(0x80))
		return -1;
	/* Pairs, fours, eight: a multiplication adds neighbours. */
	digits = (digits & HTTP1_EACH(0x0f)) * (10 << 8 | 1) >> 8;
	digits = (digits & 0x00ff00ff00ff00ffULL) * (100 << 16 | 1) >> 16;
	return (digits & 0x0000ffff0000ffffULL) * (10000ULL << 32 | 1) >> 32;
}

/* The line of Content-Length. */
static HTTP_INLINE int http1_fast_length(struct http1_head *head, const __u8 *line)
{
	__s64 length = http1_fast_number(line + 16);

	if (line[7] != '-' || line[14] != ':' || line[15] != ' ' || length < 0)
		return -1;
	head->length = length;
	head->flags |= HTTP1_HAS_LENGTH;
	return 0;
}

/* The line of Transfer-Encoding. */
static HTTP_INLINE int http1_fast_coding(struct http1_head *head, const __u8 *line)
{
	if ((http1_word(line + 8) | HTTP1_EACH(0x20)) != HTTP1_TEXT("-encodin") || line[8] != '-' ||
	    (http1_word(line + 16) | HTTP1_EACH(0x20)) != HTTP1_TEXT("g: chunk") || line[17] != ':' ||
	    line[18] != ' ' || http1_word(line + 24) << 32 != HTTP1_TEXT("ed\r\n") << 32)
		return -1;
	head->flags |= HTTP1_HAS_CODING | HTTP1_CHUNKED;
	return 0;
}

/* What the lines say that tell how long the body is. */
static HTTP_INLINE int http1_fast_body(struct http1_head *head, const __u8 *window)
{
	if (head->lengths > 1 || head->codings > 1 ||
	    (head->lengths && http1_fast_length(head, window + (head->length_at & (HTTP_WINDOW - 1)))) ||
	    (head->codings && http1_fast_coding(head, window + (head->coding_at & (HTTP_WINDOW - 1)))))
		return -1;
	return 0;
}

/* Notes a line that tells how long the body is, to be read after the loop over all lines: the verifier goes
 * through what is within that loop once a step, by each of its ways. */
static HTTP_INLINE void http1_fast_note(struct http1_head *head, const __u8 *window, __u64 offset)
{
	__u64 name = http1_word(window + offset) | HTTP1_EACH(0x20);

	if (name == HTTP1_TEXT("content-")) {
		name = http1_word(window + offset + 8) | HTTP1_EACH(0x20);
		if (name << 8 == HTTP1_TEXT("length:") << 8) {
			head->length_at = offset;
			head->lengths++;
		}
	} else if (name == HTTP1_TEXT("transfer")) {
		head->coding_at = offset;
		head->codings++;
	}
}

/* The word at an offset of the header lines: 1 if the head ends in it, -1 if it is unusual. */
static HTTP_INLINE int http1_fast_word(struct http1_head *head, const __u8 *window, __u64 offset)
{
	__u64 word = http1_word(window + offset), feeds;

	if (!http1_has_control(word))
		return 0;
	feeds = http1_bytes_equal(word, '\n');
	if (!feeds)
		return 0;
	offset += http1_first_byte(feeds) + 1;
	if (offset > head->filled)
		return -1;
	word = http1_word(window + offset);
	if ((word & 0xffff) == ('\r' | '\n' << 8)) {
		head->end = offset + 2;
		return offset + 2 > head->filled ? -1 : 1;
	}
	if ((word & 0xff) == '\r' || (word & 0xff) == '\n' || feeds & (feeds - 1))
		return -1;
	http1_fast_note(head, window, offset);
	return 0;
}

/*
 * Goes through the words of the window from `start` on, so many bytes at a time: 0 at the first of which `words` says
 * 1, -1 where it says -1 or the window ends.
 */
static HTTP_INLINE int http1_fast_search(struct http1_head *head, const __u8 *window, __u64 start,
					 __u32 bytes, int (*words)(struct http1_head *, const __u8 *, __u64))
{
	__u64 offset;
	int kind;
	__u32 i;

	for (i = 0; i < HTTP_WINDOW; i += bytes) {
		offset = start + i;
		if (offset >= HTTP_WINDOW)
			return -1;
		/* The compiler must not see that the mask changes nothing: the verifier wants it. */
		asm volatile("" : "+r"(offset));
		kind = words(head, window, offset & (HTTP_WINDOW - 1));
		if (kind)
			return kind > 0 ? 0 : -1;
	}
	return -1;
}

#define HTTP1_BLOCK 32 /* bytes of header lines, of which most end no line */

/* The block at an offset of the header lines, likewise. It may end behind the window, where nothing is whole. */
static HTTP_INLINE int http1_fast_block(struct http1_head *head, const __u8 *window, __u64 offset)
{
	int kind = 0;
	__u32 i;

	if ((http1_no_controls(http1_word(window + offset)) &
	     http1_no_controls(http1_word(window + offset + 8)) &
	     http1_no_controls(http1_word(window + offset + 16)) &
	     http1_no_controls(http1_word(window + offset + 24))) == HTTP1_NO_CONTROLS)
		return 0;
	for (i = 0; i < HTTP1_BLOCK && !kind; i += 8) {
		asm volatile("" : "+r"(i)); /* as one loop, through which the verifier goes one way */
		kind = http1_fast_word(head, window, offset + i);
	}
	return kind;
}

/* The header lines, from the word that ends the first line on: 0 if they are whole and usual. */
static HTTP_INLINE int http1_fast_lines(struct http1_head *head, const __u8 *window)
{
	return http1_fast_search(head, window, head->start, HTTP1_BLOCK, http1_fast_block) ?
		       -1 :
		       http1_fast_body(head, window);
}

/* A word of the target, which is at an offset: 1 if the request line ends well behind it, -1 if it is unusual. */
static HTTP_INLINE int http1_fast_target_word(struct http1_head *head, const __u8 *window, __u64 word,
					      __u64 offset)
{
	__u64 space, version;

	if (http1_has_control(word) || http1_has_byte(word, 0x7f))
		return -1;
	space = http1_bytes_equal(word, ' ');
	if (!space)
		return 0;
	offset += http1_first_byte(space);
	version = http1_word(window + offset + 1);
	if (version << 8 != HTTP1_TEXT("HTTP/1.") << 8 || version >> 56 < '0' || version >> 56 > '9' ||
	    window[offset + 9] != '\r' || window[offset + 10] != '\n' || offset == head->start)
		return -1;
	head->minor = (version >> 56) - '0';
	head->start = (offset + 10) & ~7ULL;
	return 1;
}

static HTTP_INLINE int http1_fast_target(struct http1_head *head, const __u8 *window, __u64 offset)
{
	return http1_fast_target_word(head, window, http1_word(window + offset), offset);
}

/* The request line that begins at an offset of the window: 0 if it is whole and usual. */
static HTTP_INLINE int http1_fast_request_line(struct http1_head *head, const __u8 *window, __u64 at)
{
	__u64 word = http1_word(window + at);
	__u64 space = http1_bytes_equal(word, ' ');
	__u64 method = (1ULL << http1_first_byte(space) * 8) - 1;
	int kind;

	if (!space)
		return -1;
	head->method = http1_method(word & method);
	if (head->method == HTTP_METHOD_OTHER)
		return -1;
	head->start = at + http1_first_byte(space) + 1;
	/* To the search for the target's end, the method and its space look like a part of the target. */
	word = (word & ~(method << 8 | 0xff)) | (HTTP1_EACH('A') & (method << 8 | 0xff));
	kind = http1_fast_target_word(head, window, word, at);
	if (kind)
		return kind > 0 ? 0 : -1;
	return http1_fast_search(head, window, at + 8, 8, http1_fast_target);
}

/* The status line that begins at an offset of the window: 0 if it is usual, which no 101 is. */
static HTTP_INLINE int http1_fast_status_line(struct http1_head *head, const __u8 *window, __u64 at)
{
	const __u8 *line = window + at;
	__u64 version = http1_word(line);

	if (version << 8 != HTTP1_TEXT("HTTP/1.") << 8 || version >> 56 < '0' || version >> 56 > '9' ||
	    line[8] != ' ' || line[9] < '1' || line[9] > '9' || line[10] < '0' || line[10] > '9' ||
	    line[11] < '0' || line[11] > '9' || (line[12] != ' ' && line[12] != '\r'))
		return -1;
	head->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
	head->start = at + 8;
	return head->status == 101 ? -1 : 0;
}

/* Where in the window the cursor is; the window's last byte if it is not in it, where no head begins. */
static HTTP_INLINE __u64 http1_begin_head(struct http1_head *head, const struct http_cursor *cur)
{
	__u64 at = cur->at - cur->base;

	head->filled = cur->filled;
	head->flags = 0;
	head->lengths = 0;
	head->codings = 0;
	return at < HTTP_WINDOW ? at : HTTP_WINDOW - 1;
}

/* A whole request head at the cursor: 0, or -1 if there is none in the window, or an unusual one. */
static HTTP_INLINE int http1_fast_request(struct http1_head *head, const __u8 *window,
					  const struct http_cursor *cur)
{
	__u64 at = http1_begin_head(head, cur);

	return http1_fast_request_line(head, window, at) ? -1 : http1_fast_lines(head, window);
}

/* A whole response head at the cursor: 0, or -1 if there is none in the window, or an unusual one. */
static HTTP_INLINE int http1_fast_response(struct http1_head *head, const __u8 *window,
					   const struct http_cursor *cur)
{
	__u64 at = http1_begin_head(head, cur);

	return http1_fast_status_line(head, window, at) ? -1 : http1_fast_lines(head, window);
}

/*
 * Whether a head is worth looking for at the start of a transfer: between messages, and where a
 * request line was only guessed at so far. A stream joined in the middle of a body may look like the
 * beginning of a method for as long as it likes; a whole request head settles it.
 */
static HTTP_INLINE int http1_expects_head(const struct http1_stream *s)
{
	return s->state == HTTP1_START ||
	       (s->flags & HTTP1_TENTATIVE && s->state >= HTTP1_METHOD && s->state <= HTTP1_REQUEST_LF);
}

/* Takes the request head that http1_fast_request() has found at the cursor, as http1_request() takes its line. */
static HTTP_INLINE enum http1_place http1_take_request(struct http1_connection *conn, struct http_cursor *cur,
						       const struct http1_head *head, struct http1_run *run)
{
	struct http1_stream *s = &conn->request;
	enum http1_place place;

	cur->at = cur->base + head->end;
	http1_next_message(s);
	s->method = head->method;
	s->minor = head->minor;
	s->length = head->length;
	s->flags |= head->flags;
	place = http1_request(conn, cur->now, run);
	http1_end_head(s);
	return place;
}

/* Takes the response head that http1_fast_response() has found at the cursor. */
static HTTP_INLINE enum http1_answer http1_take_response(struct http1_connection *conn,
							 struct http_cursor *cur,
							 const struct http1_head *head,
							 struct http_exchange *exchange)
{
	struct http1_stream *s = &conn->response;
	enum http1_answer answer;

	cur->at = cur->base + head->end;
	s->time = cur->now;
	s->status = head->status;
	s->length = head->length;
	s->flags = (s->flags | head->flags) & ~HTTP1_TENTATIVE;
	answer = http1_response(conn, exchange);
	http1_end_head(s);
	return answer;
}

#endif /* HTTP1_FAST_H */
