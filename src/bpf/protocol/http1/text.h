/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Characters and texts of HTTP/1, one or eight bytes at a time. Pure like framing.h, and without state.
 */
#ifndef HTTP1_TEXT_H
#define HTTP1_TEXT_H

#include "http.h"

/* Up to eight characters as they lie in memory, the first in the lowest byte (all hosts of BPF that are
 * built for are little-endian). */
#define HTTP1_CHAR(text, i) ((__u64)(__u8)((i) < sizeof(text) ? (text)[i] : 0) << ((i)*8))
#define HTTP1_TEXT(text)                                                                         \
	(HTTP1_CHAR(text, 0) | HTTP1_CHAR(text, 1) | HTTP1_CHAR(text, 2) | HTTP1_CHAR(text, 3) | \
	 HTTP1_CHAR(text, 4) | HTTP1_CHAR(text, 5) | HTTP1_CHAR(text, 6) | HTTP1_CHAR(text, 7))

/* Character number i of a text of up to 24: constants need no memory, and so no bounds. */
static HTTP_INLINE __u8 http1_letter(__u64 first, __u64 second, __u64 third, __u8 i)
{
	return (i < 8 ? first : i < 16 ? second : third) >> ((i & 7) * 8);
}

static HTTP_INLINE __u8 http1_content_length(__u8 i)
{
	return http1_letter(HTTP1_TEXT("content-"), HTTP1_TEXT("length"), 0, i);
}

static HTTP_INLINE __u8 http1_transfer_encoding(__u8 i)
{
	return http1_letter(HTTP1_TEXT("transfer"), HTTP1_TEXT("-encodin"), HTTP1_TEXT("g"), i);
}

static HTTP_INLINE __u8 http1_chunked(__u8 i)
{
	return http1_letter(HTTP1_TEXT("chunked"), 0, 0, i);
}

static HTTP_INLINE __u8 http1_upgrade(__u8 i)
{
	return http1_letter(HTTP1_TEXT("upgrade"), 0, 0, i);
}

static HTTP_INLINE __u8 http1_h2c(__u8 i)
{
	return http1_letter(HTTP1_TEXT("h2c"), 0, 0, i);
}

static HTTP_INLINE __u8 http1_version(__u8 i)
{
	return http1_letter(HTTP1_TEXT("HTTP/1."), 0, 0, i);
}

/* The first twelve bytes of a PROXY protocol header, version 2. */
static HTTP_INLINE __u8 http1_proxy_signature(__u8 i)
{
	return http1_letter(HTTP1_TEXT("\r\n\r\n\0\r\nQ"), HTTP1_TEXT("UIT\n"), 0, i);
}

/* RFC 9110, 5.6.2: the characters of a token. */
static HTTP_INLINE int http1_is_token(__u8 c)
{
	const __u64 low = 0x03ff6cfa00000000ULL, high = 0x57ffffffc7fffffeULL;

	return c < 128 && ((c < 64 ? low : high) >> (c & 63) & 1);
}

static HTTP_INLINE int http1_is_blank(__u8 c)
{
	return c == ' ' || c == '\t';
}

static HTTP_INLINE __u8 http1_lower(__u8 c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* No control character, space or DEL: what a request target is made of. */
static HTTP_INLINE int http1_is_visible(__u8 c)
{
	return c > ' ' && c != 0x7f;
}

/* The method of a token, which holds its first character in the lowest byte. */
static HTTP_INLINE enum http_method http1_method(__u64 token)
{
	switch (token) {
	case HTTP1_TEXT("GET"):
		return HTTP_METHOD_GET;
	case HTTP1_TEXT("HEAD"):
		return HTTP_METHOD_HEAD;
	case HTTP1_TEXT("POST"):
		return HTTP_METHOD_POST;
	case HTTP1_TEXT("PUT"):
		return HTTP_METHOD_PUT;
	case HTTP1_TEXT("DELETE"):
		return HTTP_METHOD_DELETE;
	case HTTP1_TEXT("CONNECT"):
		return HTTP_METHOD_CONNECT;
	case HTTP1_TEXT("OPTIONS"):
		return HTTP_METHOD_OPTIONS;
	case HTTP1_TEXT("TRACE"):
		return HTTP_METHOD_TRACE;
	case HTTP1_TEXT("PATCH"):
		return HTTP_METHOD_PATCH;
	default:
		return HTTP_METHOD_OTHER;
	}
}

static HTTP_INLINE int http1_hex(__u8 c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Eight bytes at any address. BPF on the hosts that are built for loads them at once, but a compiler that is
 * told of the alignment would do it byte by byte. */
static HTTP_INLINE __u64 http1_word(const __u8 *bytes)
{
#ifdef __bpf__
	return *(const __u64 *)bytes;
#else
	__u64 word;

	__builtin_memcpy(&word, bytes, sizeof(word));
	return word;
#endif
}

#define HTTP1_NO_CONTROLS 0x4040404040404040ULL

/* Of each of eight bytes a bit, which is set if it is no control character: those have neither bit 5 nor bit 6. Some
 * bytes above 0x7f are taken for one. */
static HTTP_INLINE __u64 http1_no_controls(__u64 word)
{
	return (word | word << 1) & HTTP1_NO_CONTROLS;
}

static HTTP_INLINE int http1_has_control(__u64 word)
{
	return http1_no_controls(word) != HTTP1_NO_CONTROLS;
}

static HTTP_INLINE int http1_has_byte(__u64 word, __u8 c)
{
	const __u64 ones = 0x0101010101010101ULL;

	word ^= ones * c;
	return ((word - ones) & ~word & ones << 7) != 0;
}

#define HTTP1_EACH(c) (0x0101010101010101ULL * (__u8)(c))

/* The high bit of every byte that equals c, and no other bit. */
static HTTP_INLINE __u64 http1_bytes_equal(__u64 word, __u8 c)
{
	word ^= HTTP1_EACH(c);
	return ~(((word & HTTP1_EACH(0x7f)) + HTTP1_EACH(0x7f)) | word | HTTP1_EACH(0x7f));
}

/* The index of the lowest byte whose high bit is set. BPF cannot count trailing zeros. */
static HTTP_INLINE __u64 http1_first_byte(__u64 high_bits)
{
	return ((((high_bits & -high_bits) >> 7) * 0x0001020304050607ULL) >> 56) & 7;
}

/* The value of `count` hexadecimal digits, 1 to 7, at the start of a word; -1 if they are not that. */
static HTTP_INLINE __s64 http1_hex_number(__u64 word, __u64 count)
{
	__u64 letters, digits;

	/* The digits move to the high bytes, and zeros come before them. */
	word = word << (64 - 8 * count) | HTTP1_EACH('0') >> 8 * count;
	if (http1_has_control(word))
		return -1;
	/* Of 0 to 9 now 0x00 to 0x09, of a to f and A to F 0x51 to 0x56. */
	word = (word | HTTP1_EACH(0x20)) ^ HTTP1_EACH(0x30);
	letters = word >> 6 & HTTP1_EACH(1);
	digits = word & HTTP1_EACH(0x0f);
	if ((word & HTTP1_EACH(0xa0)) || letters != (word >> 4 & HTTP1_EACH(1)))
		return -1;
	/* No digit over 9, and of letters none before a or after f. */
	if ((digits + HTTP1_EACH(6) + 3 * letters) & HTTP1_EACH(0x10) ||
	    ((digits + 15 * letters) & 16 * letters) != 16 * letters)
		return -1;
	digits += 9 * letters;
	/* Pairs, fours, eight: a multiplication adds neighbours. */
	digits = digits * (16 << 8 | 1) >> 8;
	digits = (digits & 0x00ff00ff00ff00ffULL) * (256 << 16 | 1) >> 16;
	return (digits & 0x0000ffff0000ffffULL) * (65536ULL << 32 | 1) >> 32;
}

#endif /* HTTP1_TEXT_H */
