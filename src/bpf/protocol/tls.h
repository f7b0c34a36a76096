/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What TLS looks like to one who has no keys: how a client greets. Pure, and without state. */
#ifndef TLS_H
#define TLS_H

#include "types.h"

enum {
	TLS_HANDSHAKE = 22, /* types of records */
	TLS_DATA = 23,
	TLS_MAJOR = 3,
	TLS_MINOR_MAX = 4,
	TLS_MINOR_OF_DATA = 3, /* of TLS 1.2, and of what came later */
	TLS_RECORD_HEAD = 5,
	TLS_RECORD_MAX = 16 << 10,
	TLS_SEALED_MAX = TLS_RECORD_MAX + 2048, /* what encryption adds */
	TLS_CLIENT_HELLO = 1,			/* the type of the first message in it */
};

/*
 * Whether the first bytes that a server receives, `filled` of them, begin a ClientHello. Most libraries ask for no more than the
 * head of a record at first, so that the message may not be at hand, and a client may cut anything anywhere: what has not come
 * yet speaks against nothing.
 */
static HTTP_INLINE int tls_greets(const __u8 *window, __u64 filled)
{
	if (!filled || window[0] != TLS_HANDSHAKE)
		return 0;
	if (filled > 1 && window[1] != TLS_MAJOR)
		return 0;
	if (filled > 2 && window[2] > TLS_MINOR_MAX)
		return 0;
	if (filled >= TLS_RECORD_HEAD) {
		__u32 length = (__u32)window[3] << 8 | window[4];

		if (!length || length > TLS_RECORD_MAX)
			return 0;
	}
	return filled <= TLS_RECORD_HEAD || window[TLS_RECORD_HEAD] == TLS_CLIENT_HELLO;
}

/* Whether what is received in the middle of a stream, `filled` bytes of it, begins a record of data. */
static HTTP_INLINE int tls_goes_on(const __u8 *window, __u64 filled)
{
	__u32 length = (__u32)window[3] << 8 | window[4];

	return filled >= TLS_RECORD_HEAD && window[0] == TLS_DATA && window[1] == TLS_MAJOR &&
	       window[2] == TLS_MINOR_OF_DATA && length && length <= TLS_SEALED_MAX;
}

#endif /* TLS_H */
