/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * HTTP/1 framing of one direction of a connection, as a pure state machine: no helper, no map, no unbounded loop. The
 * same source is compiled for BPF and for the host, where it is fuzzed against an independent oracle.
 *
 * The caller walks a transfer with http1_advance(), which takes one byte, one word of eight, or a whole body
 * at a time, and says when a request line or a status line is complete. Bodies are skipped by arithmetic, so
 * only heads and chunk sizes are ever read.
 *
 * Every number of the walk lives in memory that the caller owns (map memory in BPF), never in a local:
 * the verifier knows nothing about such memory, so one pass over http1_advance() proves all passes.
 */
#ifndef HTTP1_FRAMING_H
#define HTTP1_FRAMING_H

#include "protocol/cursor.h"
#include "protocol/http1/text.h"

/* What is longer is no HTTP: servers refuse much less. */
enum {
	HTTP1_METHOD_MAX = 24,
	HTTP1_LINE_MAX = 16 << 10, /* of a request */
	HTTP1_HEAD_MAX = 256 << 10,
	HTTP1_PREFACE = 4, /* octets of HTTP/2's, which no server takes for a request */
};

/* Where a direction of a connection is. Zeroed memory is a stream that was joined in the middle. */
enum http1_state {
	HTTP1_LOST,   /* nothing is known until a message starts at the start of a transfer */
	HTTP1_OPAQUE, /* never HTTP/1 again: a tunnel, an upgrade, or a body that ends with the stream */
	HTTP1_SWITCHED, /* what follows is HTTP/2, of whose preface the requests have had HTTP1_PREFACE octets */
	HTTP1_BODY,	/* `left` bytes, then the next message */
	HTTP1_CHUNK,	/* `left` bytes, then the next chunk */
	HTTP1_START,	/* between messages */
	HTTP1_METHOD,
	HTTP1_TARGET_START,
	HTTP1_TARGET,
	HTTP1_REQUEST_VERSION,
	HTTP1_REQUEST_CR,
	HTTP1_REQUEST_LF,
	HTTP1_PROXY_LINE,   /* PROXY protocol version 1 */
	HTTP1_PROXY_BINARY, /* PROXY protocol version 2 */
	HTTP1_RESPONSE_VERSION,
	HTTP1_STATUS,
	HTTP1_STATUS_END,
	HTTP1_LINE_START, /* of a header or trailer, or the empty line */
	HTTP1_LINE,	  /* of no interest */
	HTTP1_LENGTH_NAME,
	HTTP1_LENGTH_VALUE,
	HTTP1_CODING_NAME,
	HTTP1_CODING_VALUE,
	HTTP1_UPGRADE_NAME,
	HTTP1_UPGRADE_VALUE,
	HTTP1_HEAD_LF,
	HTTP1_CHUNK_SIZE,
	HTTP1_CHUNK_EXTENSION,
	HTTP1_CHUNK_SIZE_LF,
	HTTP1_CHUNK_END,
	HTTP1_CHUNK_END_LF,
};

enum http1_flag {
	HTTP1_RESPONSES = 1 << 0,  /* this is the direction of responses */
	HTTP1_TENTATIVE = 1 << 1,  /* no message has been seen whole yet, so failing means nothing */
	HTTP1_HAS_LENGTH = 1 << 2, /* a Content-Length has been read */
	HTTP1_HAS_CODING = 1 << 3, /* a Transfer-Encoding has been read */
	HTTP1_CHUNKED = 1 << 4,	   /* whose last coding is chunked */
	HTTP1_BAD_LENGTH = 1 << 5, /* a Content-Length that servers refuse */
	HTTP1_TRAILERS = 1 << 6,   /* the lines after the last chunk */
	HTTP1_NO_BODY = 1 << 7,	   /* whatever the head says: 1xx, HEAD, 204, 304 */
	HTTP1_TUNNEL = 1 << 8,	   /* no more of it after this head: 101, or 2xx to CONNECT */
	HTTP1_SKIPPED = 1 << 9, /* bytes of a body were skipped because the socket said that they had come */
	HTTP1_H2C = 1 << 10,	/* the head offers HTTP/2, or grants it */
};

/* The flags that end with the message. */
#define HTTP1_PER_MESSAGE                                                                          \
	(HTTP1_HAS_LENGTH | HTTP1_HAS_CODING | HTTP1_CHUNKED | HTTP1_BAD_LENGTH | HTTP1_TRAILERS | \
	 HTTP1_NO_BODY | HTTP1_TUNNEL | HTTP1_H2C)

/* What http1_advance() found. */
enum http1_event {
	HTTP1_NOTHING,
	HTTP1_REQUEST_LINE, /* complete: http1_request() takes it */
	HTTP1_STATUS_LINE, /* complete up to the code: http1_response() takes it, and a 101 once more at its head's end */
	HTTP1_SWITCH,	  /* to HTTP/2, at the cursor */
	HTTP1_LOSS,	  /* the stream was followed and no longer can be */
	HTTP1_WINDOW_END, /* more bytes are wanted at `at` */
};

/* One direction of a connection. */
struct http1_stream {
	__u64 left;   /* bytes of the body or chunk still to come */
	__u64 length; /* Content-Length or chunk size as read so far */
	union {
		__u64 token; /* the request's method as text, the first character in the lowest byte; 0 if over eight */
		__u64 time; /* when the response's first byte was transferred */
	};
	__u16 flags;
	__u16 status; /* of the response */
	__u8 state;
	__u8 match;		 /* characters of the current element that were taken */
	__u8 minor;		 /* of HTTP/1.x */
	enum http_method method; /* of the request, once its line is complete */
	__u32 head;		 /* bytes of the current head that were taken */
	__u32 pad;
};

static HTTP_INLINE void http1_enter(struct http1_stream *s, __u8 state)
{
	s->state = state;
	s->match = 0;
}

static HTTP_INLINE void http1_next_message(struct http1_stream *s)
{
	s->flags &= ~HTTP1_PER_MESSAGE;
	http1_enter(s, HTTP1_START);
}

/* To be called before each transfer. */
static HTTP_INLINE void http1_begin(struct http1_stream *s)
{
	if (s->state == HTTP1_LOST) {
		http1_next_message(s);
		s->flags |= HTTP1_TENTATIVE;
	}
}

static HTTP_INLINE enum http1_event http1_lose(struct http1_stream *s)
{
	__u16 tentative = s->flags & HTTP1_TENTATIVE;

	s->state = HTTP1_LOST;
	return tentative ? HTTP1_NOTHING : HTTP1_LOSS;
}

static HTTP_INLINE void http1_next_chunk(struct http1_stream *s)
{
	s->length = 0;
	http1_enter(s, HTTP1_CHUNK_SIZE);
}

/* A head after which there is no more HTTP/1. */
static HTTP_INLINE enum http1_event http1_end_tunnel(struct http1_stream *s)
{
	s->state = HTTP1_OPAQUE;
	if (s->status != 101)
		return HTTP1_NOTHING;
	if (!(s->flags & HTTP1_H2C))
		return HTTP1_STATUS_LINE;
	s->state = HTTP1_SWITCHED;
	return HTTP1_SWITCH;
}

/* RFC 9112, 6.3: the length of the body, once its head (or the trailer section) is complete. */
static HTTP_INLINE enum http1_event http1_end_head(struct http1_stream *s)
{
	__u16 flags = s->flags;

	if (flags & HTTP1_TUNNEL) {
		return http1_end_tunnel(s);
	} else if (flags & (HTTP1_TRAILERS | HTTP1_NO_BODY)) {
		http1_next_message(s);
	} else if (flags & HTTP1_CHUNKED) {
		http1_next_chunk(s);
	} else if (flags & HTTP1_HAS_CODING) {
		if (!(flags & HTTP1_RESPONSES))
			return http1_lose(s);
		s->state = HTTP1_OPAQUE;
	} else if (flags & HTTP1_BAD_LENGTH) {
		return http1_lose(s);
	} else if (flags & HTTP1_HAS_LENGTH) {
		s->left = s->length;
		if (s->left)
			s->state = HTTP1_BODY;
		else
			http1_next_message(s);
	} else if (flags & HTTP1_RESPONSES) {
		s->state = HTTP1_OPAQUE;
	} else {
		http1_next_message(s);
	}
	return HTTP1_NOTHING;
}

static HTTP_INLINE void http1_end_chunk_size(struct http1_stream *s)
{
	s->left = s->length;
	if (s->left) {
		s->state = HTTP1_CHUNK;
	} else {
		s->flags |= HTTP1_TRAILERS;
		s->head = 0;
		http1_enter(s, HTTP1_LINE_START);
	}
}

static HTTP_INLINE enum http1_event http1_end_request_line(struct http1_stream *s)
{
	s->flags &= ~HTTP1_PER_MESSAGE;
	s->method = http1_method(s->token);
	http1_enter(s, HTTP1_LINE_START);
	return HTTP1_REQUEST_LINE;
}

/* match: 0 before the digits, 1 in them, 2 after them. */
static HTTP_INLINE void http1_length_value(struct http1_stream *s, __u8 c)
{
	if (c >= '0' && c <= '9' && s->match < 2) {
		if (s->match == 0)
			s->left = 0;
		s->match = 1;
		if (s->left >> 58)
			s->flags |= HTTP1_BAD_LENGTH;
		s->left = s->left * 10 + (c - '0');
	} else if (c == '\n') {
		if (s->match == 0 || (s->flags & HTTP1_HAS_LENGTH && s->left != s->length))
			s->flags |= HTTP1_BAD_LENGTH;
		s->flags |= HTTP1_HAS_LENGTH;
		s->length = s->left;
		http1_enter(s, HTTP1_LINE_START);
	} else if (c == ' ' || c == '\t' || c == '\r') {
		if (s->match)
			s->match = 2;
	} else {
		s->flags |= HTTP1_BAD_LENGTH;
		http1_enter(s, HTTP1_LINE);
	}
}

/* match: characters of "chunked" that the current coding has begun with, 8 after the blank that ends it,
 * 255 for another coding. Only the last coding decides. */
static HTTP_INLINE void http1_coding_value(struct http1_stream *s, __u8 c)
{
	if (c == '\n') {
		s->flags &= ~HTTP1_CHUNKED;
		s->flags |= HTTP1_HAS_CODING;
		if (s->match == 7 || s->match == 8)
			s->flags |= HTTP1_CHUNKED;
		http1_enter(s, HTTP1_LINE_START);
	} else if (c == ',') {
		s->match = 0;
	} else if (c == ' ' || c == '\t' || c == '\r') {
		if (s->match)
			s->match = s->match == 7 || s->match == 8 ? 8 : 255;
	} else if (s->match < 7 && http1_lower(c) == http1_chunked(s->match)) {
		s->match++;
	} else {
		s->match = 255;
	}
}

/* match: characters of "h2c" that the value has begun with, 4 after the blank that ends it, 255 for another protocol. */
static HTTP_INLINE void http1_upgrade_value(struct http1_stream *s, __u8 c)
{
	if (c == '\n') {
		if (s->match == 3 || s->match == 4)
			s->flags |= HTTP1_H2C;
		http1_enter(s, HTTP1_LINE_START);
	} else if (c == ' ' || c == '\t' || c == '\r') {
		if (s->match)
			s->match = s->match == 3 || s->match == 4 ? 4 : 255;
	} else if (s->match < 3 && http1_lower(c) == http1_h2c(s->match)) {
		s->match++;
	} else {
		s->match = 255;
	}
}

/* Whether a blank ends what only the preface of HTTP/2 begins with. Before it there was no request, or the last one was upgraded. */
static HTTP_INLINE int http1_is_preface(const struct http1_stream *s, __u8 c)
{
	return c == ' ' && s->token == HTTP1_TEXT("PRI") && s->flags & HTTP1_TENTATIVE;
}

/* Takes the next byte. */
static HTTP_INLINE enum http1_event http1_byte(struct http1_stream *s, __u8 c, __u64 now)
{
	int digit;

	switch (s->state) {
	case HTTP1_START:
		if (s->flags & HTTP1_RESPONSES) {
			if (c != 'H')
				return http1_lose(s);
			s->time = now;
			s->head = 1;
			s->state = HTTP1_RESPONSE_VERSION;
			s->match = 1;
		} else if (c == '\r' || c == '\n') {
			if (s->match < 255)
				s->match++;
		} else if (http1_is_token(c)) {
			s->state = HTTP1_METHOD;
			s->head = 1;
			s->match = 1;
			s->token = c;
		} else if (c == 0 && s->match == 4) {
			s->state = HTTP1_PROXY_BINARY;
			s->match = 5;
		} else {
			return http1_lose(s);
		}
		return HTTP1_NOTHING;
	case HTTP1_METHOD:
		if (http1_is_preface(s, c)) {
			s->state = HTTP1_SWITCHED;
			return HTTP1_SWITCH;
		}
		if (http1_is_blank(c)) {
			http1_enter(s, HTTP1_TARGET_START);
		} else if (http1_is_token(c)) {
			/* A ninth character no longer fits: 0 is no method's token, and stays. */
			s->token = s->match < 8 ? s->token | (__u64)c << (s->match * 8) : 0;
			if (s->match < 8)
				s->match++;
		} else {
			return http1_lose(s);
		}
		return HTTP1_NOTHING;
	case HTTP1_TARGET_START:
		/* Servers take more than one blank, and what some refuse they answer all the same. */
		if (http1_is_blank(c))
			return HTTP1_NOTHING;
		if (!http1_is_visible(c))
			return http1_lose(s);
		/* PROXY TCP4, TCP6 or UNKNOWN: no request target begins like that. */
		if ((c == 'T' || c == 'U') && s->token == HTTP1_TEXT("PROXY"))
			s->state = HTTP1_PROXY_LINE;
		else
			s->state = HTTP1_TARGET;
		return HTTP1_NOTHING;
	case HTTP1_TARGET:
		if (http1_is_blank(c))
			http1_enter(s, HTTP1_REQUEST_VERSION);
		else if (!http1_is_visible(c))
			return http1_lose(s);
		return HTTP1_NOTHING;
	case HTTP1_REQUEST_VERSION:
		if (s->match == 0 && http1_is_blank(c))
			return HTTP1_NOTHING;
		if (s->match < 7 ? http1_lower(c) != http1_lower(http1_version(s->match)) :
				   c < '0' || c > '9')
			return http1_lose(s);
		s->minor = c - '0';
		if (s->match++ == 7)
			s->state = HTTP1_REQUEST_CR;
		return HTTP1_NOTHING;
	case HTTP1_REQUEST_CR:
		if (c == '\n')
			return http1_end_request_line(s);
		if (http1_is_blank(c) || (c >= '0' && c <= '9'))
			return HTTP1_NOTHING;
		if (c != '\r')
			return http1_lose(s);
		s->state = HTTP1_REQUEST_LF;
		return HTTP1_NOTHING;
	case HTTP1_REQUEST_LF:
		return c == '\n' ? http1_end_request_line(s) : http1_lose(s);
	case HTTP1_PROXY_LINE:
		if (c == '\n')
			http1_enter(s, HTTP1_START);
		return HTTP1_NOTHING;
	case HTTP1_PROXY_BINARY:
		if (s->match < 12 && c != http1_proxy_signature(s->match))
			return http1_lose(s);
		s->left = (s->left << 8 | c) & 0xffff; /* the last two bytes are the length of the rest */
		if (++s->match == 16)
			http1_enter(s, s->left ? HTTP1_BODY : HTTP1_START);
		return HTTP1_NOTHING;
	case HTTP1_RESPONSE_VERSION:
		if (s->match < 7  ? c != http1_version(s->match) :
		    s->match == 7 ? c < '0' || c > '9' :
				    c != ' ')
			return http1_lose(s);
		if (s->match++ == 8) {
			s->status = 0;
			http1_enter(s, HTTP1_STATUS);
		}
		return HTTP1_NOTHING;
	case HTTP1_STATUS:
		if (c < '0' || c > '9' || (s->match == 0 && c == '0'))
			return http1_lose(s);
		s->status = s->status * 10 + (c - '0');
		if (++s->match == 3)
			s->state = HTTP1_STATUS_END;
		return HTTP1_NOTHING;
	case HTTP1_STATUS_END:
		if (c != ' ' && c != '\r' && c != '\n')
			return http1_lose(s);
		s->flags &= ~(HTTP1_PER_MESSAGE | HTTP1_TENTATIVE);
		http1_enter(s, c == '\n' ? HTTP1_LINE_START : HTTP1_LINE);
		return HTTP1_STATUS_LINE;
	case HTTP1_LINE_START:
		if (c == '\n')
			return http1_end_head(s);
		if (c == '\r')
			http1_enter(s, HTTP1_HEAD_LF);
		else if (s->flags & HTTP1_TRAILERS)
			s->state = HTTP1_LINE;
		else if (http1_lower(c) == 'c')
			s->state = HTTP1_LENGTH_NAME;
		else if (http1_lower(c) == 't')
			s->state = HTTP1_CODING_NAME;
		else if (http1_lower(c) == 'u')
			s->state = HTTP1_UPGRADE_NAME;
		else
			s->state = HTTP1_LINE;
		s->match = 1;
		return HTTP1_NOTHING;
	case HTTP1_LINE:
		if (c == '\n')
			http1_enter(s, HTTP1_LINE_START);
		return HTTP1_NOTHING;
	case HTTP1_LENGTH_NAME:
		if (s->match == 14 && c == ':')
			http1_enter(s, HTTP1_LENGTH_VALUE);
		else if (s->match < 14 && http1_lower(c) == http1_content_length(s->match))
			s->match++;
		else
			http1_enter(s, c == '\n' ? HTTP1_LINE_START : HTTP1_LINE);
		return HTTP1_NOTHING;
	case HTTP1_LENGTH_VALUE:
		http1_length_value(s, c);
		return HTTP1_NOTHING;
	case HTTP1_CODING_NAME:
		if (s->match == 17 && c == ':')
			http1_enter(s, HTTP1_CODING_VALUE);
		else if (s->match < 17 && http1_lower(c) == http1_transfer_encoding(s->match))
			s->match++;
		else
			http1_enter(s, c == '\n' ? HTTP1_LINE_START : HTTP1_LINE);
		return HTTP1_NOTHING;
	case HTTP1_CODING_VALUE:
		http1_coding_value(s, c);
		return HTTP1_NOTHING;
	case HTTP1_UPGRADE_NAME:
		if (s->match == 7 && c == ':')
			http1_enter(s, HTTP1_UPGRADE_VALUE);
		else if (s->match < 7 && http1_lower(c) == http1_upgrade(s->match))
			s->match++;
		else
			http1_enter(s, c == '\n' ? HTTP1_LINE_START : HTTP1_LINE);
		return HTTP1_NOTHING;
	case HTTP1_UPGRADE_VALUE:
		http1_upgrade_value(s, c);
		return HTTP1_NOTHING;
	case HTTP1_HEAD_LF:
		return c == '\n' ? http1_end_head(s) : http1_lose(s);
	case HTTP1_CHUNK_SIZE:
		digit = http1_hex(c);
		if (digit >= 0) {
			if (s->length >> 56)
				return http1_lose(s);
			s->length = s->length << 4 | digit;
			s->match = 1;
		} else if (s->match == 0) {
			return http1_lose(s);
		} else if (c == '\n') {
			http1_end_chunk_size(s);
		} else if (c == '\r') {
			s->state = HTTP1_CHUNK_SIZE_LF;
		} else if (c == ';' || c == ' ' || c == '\t') {
			s->state = HTTP1_CHUNK_EXTENSION;
		} else {
			return http1_lose(s);
		}
		return HTTP1_NOTHING;
	case HTTP1_CHUNK_EXTENSION:
		if (c == '\n')
			http1_end_chunk_size(s);
		return HTTP1_NOTHING;
	case HTTP1_CHUNK_SIZE_LF:
		if (c != '\n')
			return http1_lose(s);
		http1_end_chunk_size(s);
		return HTTP1_NOTHING;
	case HTTP1_CHUNK_END:
		if (c == '\r')
			s->state = HTTP1_CHUNK_END_LF;
		else if (c == '\n')
			http1_next_chunk(s);
		else
			return http1_lose(s);
		return HTTP1_NOTHING;
	case HTTP1_CHUNK_END_LF:
		if (c != '\n')
			return http1_lose(s);
		http1_next_chunk(s);
		return HTTP1_NOTHING;
	default:
		return http1_lose(s);
	}
}

/* Takes a word within a line of which only the end matters: up to its end, or all of it. True at the end. */
static HTTP_INLINE int http1_word_of_line(struct http_cursor *cur, __u64 word)
{
	__u64 feeds = http1_bytes_equal(word, '\n');

	cur->at += feeds ? http1_first_byte(feeds) + 1 : 8;
	return feeds != 0;
}

/* Whether a line that begins with these two words may be one that tells what follows the head. */
static HTTP_INLINE int http1_is_of_interest(__u64 first, __u64 second)
{
	first |= HTTP1_EACH(0x20);
	second |= HTTP1_EACH(0x20);
	return first == HTTP1_TEXT("transfer") || first == HTTP1_TEXT("upgrade:") ||
	       (first == HTTP1_TEXT("content-") && second << 8 == HTTP1_TEXT("length:") << 8);
}

/*
 * Takes what is usual at the cursor eight bytes at a time, of sixteen that are at hand; -1 where it is not, which
 * http1_byte() takes then.
 */
static HTTP_INLINE int http1_words(struct http1_stream *s, struct http_cursor *cur, const __u8 *bytes)
{
	__u64 word = http1_word(bytes), found;
	__s64 size;

	switch (s->state) {
	case HTTP1_LINE_START:
		if ((word & 0xff) == '\r' || (word & 0xff) == '\n')
			return -1;
		if (!(s->flags & HTTP1_TRAILERS) && http1_is_of_interest(word, http1_word(bytes + 8)))
			return -1;
		if (!http1_word_of_line(cur, word))
			s->state = HTTP1_LINE;
		return HTTP1_NOTHING;
	case HTTP1_LINE:
		if (http1_word_of_line(cur, word))
			http1_enter(s, HTTP1_LINE_START);
		return HTTP1_NOTHING;
	case HTTP1_TARGET:
		if (http1_has_control(word) || http1_has_byte(word, 0x7f))
			return -1;
		found = http1_bytes_equal(word, ' ');
		cur->at += found ? http1_first_byte(found) + 1 : 8;
		if (found)
			http1_enter(s, HTTP1_REQUEST_VERSION);
		return HTTP1_NOTHING;
	case HTTP1_CHUNK_SIZE:
		found = http1_bytes_equal(word, '\r');
		if (s->match || !found || !http1_first_byte(found))
			return -1;
		size = http1_hex_number(word, http1_first_byte(found));
		if (size < 0 || bytes[http1_first_byte(found) + 1] != '\n')
			return -1;
		s->length = size;
		cur->at += http1_first_byte(found) + 2;
		http1_end_chunk_size(s);
		return HTTP1_NOTHING;
	case HTTP1_CHUNK_EXTENSION:
		if (http1_word_of_line(cur, word))
			http1_end_chunk_size(s);
		return HTTP1_NOTHING;
	case HTTP1_CHUNK_END:
		if ((word & 0xffff) != ('\r' | '\n' << 8))
			return -1;
		cur->at += 2;
		http1_next_chunk(s);
		return HTTP1_NOTHING;
	default:
		return -1;
	}
}

/* Whether a head has grown beyond what a server takes. */
static HTTP_INLINE int http1_is_too_long(const struct http1_stream *s)
{
	if (s->state == HTTP1_METHOD)
		return s->head > HTTP1_METHOD_MAX;
	return s->head > (s->state <= HTTP1_REQUEST_LF ? HTTP1_LINE_MAX : HTTP1_HEAD_MAX);
}

/* Takes as much of a body as the transfer holds: it is never read. */
static HTTP_INLINE void http1_skip(struct http1_stream *s, struct http_cursor *cur)
{
	__u64 rest = cur->length - cur->at;

	if (rest < s->left) {
		s->left -= rest;
		cur->skipped += rest;
		cur->at = cur->length;
	} else {
		cur->skipped += s->left;
		cur->at += s->left;
		if (s->state == HTTP1_BODY)
			http1_next_message(s);
		else
			http1_enter(s, HTTP1_CHUNK_END);
	}
}

/* Whether the first bytes of a stream, `filled` of them, may begin a request or what may stand before one. */
static HTTP_INLINE int http1_may_begin(const __u8 *window, __u64 filled)
{
	__u64 word = http1_word(window);
	__u32 i;

	if ((word & 0xff) == '\r' || (word & 0xff) == '\n')
		return 1;
	for (i = 0; i < 8 && i < filled; i++, word >>= 8)
		if (!http1_is_token(word))
			return i && http1_is_blank(word);
	return i > 0;
}

/* Whether the first bytes of a transfer, `filled` of them, are those of a status line. */
static HTTP_INLINE int http1_answers(const __u8 *window, __u64 filled)
{
	__u64 version = http1_word(window);

	return filled > 12 && version << 8 == HTTP1_TEXT("HTTP/1.") << 8 && window[8] == ' ' &&
	       window[9] >= '1' && window[9] <= '9';
}

/* Whether this many bytes that cannot be seen may mean anything: within a body they change nothing. */
static HTTP_INLINE int http1_hides_more(struct http1_stream *s, __u64 length)
{
	struct http_cursor cur = { .length = length };

	if (s->state == HTTP1_BODY || s->state == HTTP1_CHUNK)
		http1_skip(s, &cur);
	return cur.at < cur.length && s->state > HTTP1_SWITCHED;
}

/* Whether this many bytes all belong to the body or chunk that is going on. */
static HTTP_INLINE int http1_holds(const struct http1_stream *s, __u64 length)
{
	return (s->state == HTTP1_BODY || s->state == HTTP1_CHUNK) && length <= s->left;
}

/*
 * Takes what can be taken at once of the transfer under the cursor. The window holds `filled` bytes
 * from offset `base` on, followed by eight readable ones. The walk is over when `at` equals `length`.
 */
static HTTP_INLINE enum http1_event http1_advance(struct http1_stream *s, struct http_cursor *cur,
						  const __u8 *window)
{
	__u64 offset = cur->at - cur->base, from = cur->at;
	__u8 state = s->state;

	if (state <= HTTP1_SWITCHED) {
		cur->at = cur->length;
		return HTTP1_NOTHING;
	}
	if (state == HTTP1_BODY || state == HTTP1_CHUNK) {
		http1_skip(s, cur);
		return HTTP1_NOTHING;
	}
	if (offset >= cur->filled || offset >= HTTP_WINDOW)
		return HTTP1_WINDOW_END;
	if (state > HTTP1_START && state < HTTP1_CHUNK_SIZE && http1_is_too_long(s))
		return http1_lose(s);
	if (offset + 16 <= cur->filled && http1_words(s, cur, window + (offset & (HTTP_WINDOW - 1))) >= 0) {
		s->head += cur->at - from;
		return HTTP1_NOTHING;
	}
	cur->at++;
	s->head++;
	return http1_byte(s, window[offset & (HTTP_WINDOW - 1)], cur->now);
}

#endif /* HTTP1_FRAMING_H */
