/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The few names and values that matter, each as it is sent: as text, or in the one form that Huffman's code gives it (its
 * padding is fixed), so that nothing has to be decoded. Pure, and without state.
 */
#ifndef HTTP2_TOKENS_H
#define HTTP2_TOKENS_H

#include "protocol/http1/text.h"
#include "protocol/http2/state.h"

/* A kind is a name, with a value in its lower bits where that matters. Zero: nothing is known of either. */
enum h2_name {
	H2_NAME_UNKNOWN = 0,
	H2_NAME_OTHER = 1 << 12,
	H2_NAME_PSEUDO =
		2
		<< 12, /* another that begins with a colon, which only the fields of a head's beginning do */
	H2_NAME_METHOD = 3 << 12,
	H2_NAME_STATUS = 4 << 12,
	H2_NAME_GRPC = 5 << 12,
	H2_NAME_AGED = 6 << 12, /* unknown, since it came from an entry older than what is remembered */
};

#define H2_NAME_OF(kind) ((kind)&0xf000)
#define H2_VALUE_OF(kind) ((kind)&0x0fff)

enum {
	H2_GRPC_MAX = 16,	 /* the highest status that has a meaning */
	H2_GRPC_OTHER = 0xffe,	 /* no number, or a higher one */
	H2_GRPC_UNKNOWN = 0xfff, /* there may have been one */
};

/* How the nine methods are sent in Huffman's code, the first octet in the lowest byte. */
#define H2_CODED_GET 0x7f83c5ULL
#define H2_CODED_PUT 0x7fc3d7ULL
#define H2_CODED_HEAD 0xff1b82c7ULL
#define H2_CODED_POST 0xff76abd7ULL
#define H2_CODED_TRACE 0x3fd81bb6dfULL
#define H2_CODED_PATCH 0xffd8fb0ed7ULL
#define H2_CODED_DELETE 0x3ff80d3e83bfULL
#define H2_CODED_CONNECT 0xffb7179c4eabbdULL
#define H2_CODED_OPTIONS 0x7f775a4d7eafd5ULL

/* And the names. */
#define H2_CODED_METHOD_NAME 0xe4395349b9ULL
#define H2_CODED_STATUS_NAME 0xa3368d84b8ULL
#define H2_CODED_GRPC_NAME 0x8fda3412b2c8ca9aULL
#define H2_CODED_COLON 0x5c /* in seven bits */

enum {
	H2_METHOD_MAX = 7, /* octets of a method that is known, in either form */
	H2_NUMBER_MAX = 3, /* octets of a status, likewise */
};

/* Whether a token is a string of so many octets, 1 to 8, that it is to be compared with: none of those ends in a zero. */
static HTTP_INLINE int h2_is_whole(__u64 token, __u32 size)
{
	return size - 1 < 8 && token >> ((size - 1) & 7) * 8;
}

static HTTP_INLINE enum http_method h2_coded_method(__u64 token)
{
	switch (token) {
	case H2_CODED_GET:
		return HTTP_METHOD_GET;
	case H2_CODED_POST:
		return HTTP_METHOD_POST;
	case H2_CODED_PUT:
		return HTTP_METHOD_PUT;
	case H2_CODED_HEAD:
		return HTTP_METHOD_HEAD;
	case H2_CODED_DELETE:
		return HTTP_METHOD_DELETE;
	case H2_CODED_CONNECT:
		return HTTP_METHOD_CONNECT;
	case H2_CODED_OPTIONS:
		return HTTP_METHOD_OPTIONS;
	case H2_CODED_TRACE:
		return HTTP_METHOD_TRACE;
	case H2_CODED_PATCH:
		return HTTP_METHOD_PATCH;
	default:
		return HTTP_METHOD_OTHER;
	}
}

/* The next digit of a number in Huffman's code, which the highest of 24 bits begin with: -1 if it is none. */
static HTTP_INLINE int h2_coded_digit(__u32 bits)
{
	__u32 five = bits >> 19 & 0x1f, six = bits >> 18 & 0x3f;

	if (five <= 2)
		return five;
	return six >= 0x19 && six <= 0x1f ? (int)(six - 0x19 + 3) : -1;
}

/* A number of up to three digits in Huffman's code, which has as many octets as those need: -1 if it is none. */
static HTTP_INLINE int h2_coded_number(__u32 token, __u32 size)
{
	__u32 bits = (token & 0xff) << 16 | (token & 0xff00) | (token >> 16 & 0xff);
	__u32 used = 0, i, length;
	int number = 0, digit;

	/* Behind the string come ones, which are its padding and begin no digit. */
	bits |= 0xffffff >> 8 * (size & 3);
	for (i = 0; i < 3; i++) {
		digit = h2_coded_digit(bits);
		if (digit < 0)
			break;
		length = digit > 2 ? 6 : 5;
		used += length;
		if (used > 8 * size)
			return -1;
		number = number * 10 + digit;
		bits = (bits << length | ((1 << length) - 1)) & 0xffffff;
	}
	/* Less than an octet is padding. */
	return i && bits == 0xffffff && 8 * size - used < 8 ? (int)(i << 10 | number) : -1;
}

/* The same of one that is sent as text. */
static HTTP_INLINE int h2_plain_number(__u32 token, __u32 size)
{
	int number = 0;
	__u32 i;

	for (i = 0; i < 3 && i < size; i++, token >>= 8) {
		if ((token & 0xff) < '0' || (token & 0xff) > '9')
			return -1;
		number = number * 10 + (token & 0xff) - '0';
	}
	return i << 10 | number;
}

/* A number that is sent in 1 to 3 octets, above it the number of its digits; -1 if it is none. */
static HTTP_INLINE int h2_number(__u64 token, __u32 size, int coded)
{
	if (!size || size > H2_NUMBER_MAX)
		return -1;
	return coded ? h2_coded_number(token, size) : h2_plain_number(token, size);
}

/* What the value of `:method` means. */
static HTTP_INLINE __u16 h2_method_kind(__u64 token, __u32 size, int coded)
{
	if (size > H2_METHOD_MAX || !h2_is_whole(token, size))
		return H2_NAME_METHOD | HTTP_METHOD_OTHER;
	return H2_NAME_METHOD | (coded ? h2_coded_method(token) : http1_method(token));
}

/* What the value of `:status` means: a status has three digits and is at least 100; anything else is as good as unknown. */
static HTTP_INLINE __u16 h2_status_kind(__u64 token, __u32 size, int coded)
{
	int number = h2_number(token, size, coded);

	return H2_NAME_STATUS | (number >> 10 == 3 && (number & 0x3ff) >= 100 ? number & 0x3ff : 0);
}

static HTTP_INLINE __u16 h2_grpc_kind(__u64 token, __u32 size, int coded)
{
	int number = h2_number(token, size, coded);

	return H2_NAME_GRPC | (number < 0 || (number & 0x3ff) > H2_GRPC_MAX ? H2_GRPC_OTHER : number & 0x3ff);
}

/* The kind of an entry of the static table, which has 61. */
static HTTP_INLINE __u16 h2_static_kind(__u32 index)
{
	switch (index) {
	case 2:
		return H2_NAME_METHOD | HTTP_METHOD_GET;
	case 3:
		return H2_NAME_METHOD | HTTP_METHOD_POST;
	case 8:
		return H2_NAME_STATUS | 200;
	case 9:
		return H2_NAME_STATUS | 204;
	case 10:
		return H2_NAME_STATUS | 206;
	case 11:
		return H2_NAME_STATUS | 304;
	case 12:
		return H2_NAME_STATUS | 400;
	case 13:
		return H2_NAME_STATUS | 404;
	case 14:
		return H2_NAME_STATUS | 500;
	default:
		return index < 8 ? H2_NAME_PSEUDO : H2_NAME_OTHER;
	}
}

/* What a name that is sent as a string means; `more` has its ninth to eleventh octet. */
static HTTP_INLINE __u16 h2_name(__u64 token, __u32 more, __u32 size, int coded)
{
	if (coded) {
		if (size == 5 && token == H2_CODED_METHOD_NAME)
			return H2_NAME_METHOD;
		if (size == 5 && token == H2_CODED_STATUS_NAME)
			return H2_NAME_STATUS;
		if (size == 8 && token == H2_CODED_GRPC_NAME)
			return H2_NAME_GRPC;
		/* No other character's code begins like that of a colon. */
		return (token & 0xff) >> 1 == H2_CODED_COLON ? H2_NAME_PSEUDO : H2_NAME_OTHER;
	}
	if (size == 7 && token == HTTP1_TEXT(":method"))
		return H2_NAME_METHOD;
	if (size == 7 && token == HTTP1_TEXT(":status"))
		return H2_NAME_STATUS;
	if (size == 11 && token == HTTP1_TEXT("grpc-sta") && more == HTTP1_TEXT("tus"))
		return H2_NAME_GRPC;
	return (token & 0xff) == ':' ? H2_NAME_PSEUDO : H2_NAME_OTHER;
}

/* Whether a name of so many octets may be one of those that are compared. */
static HTTP_INLINE int h2_may_matter(__u32 size, int coded)
{
	return coded ? size == 5 || size == 8 : size == 7 || size == 11;
}

#endif /* HTTP2_TOKENS_H */
