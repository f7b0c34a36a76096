/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is known of an end without a connection. One look at this instead of one at the bytes of each transfer: of those that are no
 * server's end, and of those whose bytes were looked at often enough.
 *
 * For life one is written off only by what no server of HTTP/1 does or takes, and only if that was seen from its beginning: a
 * stream that was joined in the middle of a body is still found out.
 */
#ifndef MARK_H
#define MARK_H

#include "types.h"

enum {
	HTTP_LOOKS = 16, /* at what is text, but no request; and at what is sent before there was a request */
	HTTP_JOINED = 1 << 5,	  /* a unix socket that is older than the agent */
	HTTP_FROM_START = 1 << 6, /* the first bytes that it received were seen */
	HTTP_NOT_HTTP = 1 << 7,	  /* it has received what is no HTTP/1: its answers are to that */
	HTTP_NOT_SERVER = 0xff,
};

/* How often it was looked at in vain. */
static HTTP_INLINE __u8 http_looks_of(__u8 mark)
{
	return mark & (HTTP_JOINED - 1);
}

/* The mark of one that has one, looked at once more in vain. `kind`: the flags above that hold of it. */
static HTTP_INLINE __u8 http_mark_after_look(__u8 mark, __u8 kind)
{
	mark |= kind & HTTP_NOT_HTTP;
	if (http_looks_of(mark) < HTTP_LOOKS)
		return mark + 1;
	return mark & HTTP_FROM_START ? HTTP_NOT_SERVER : mark;
}

#endif /* MARK_H */
