/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A walk over the bytes of one transfer, which is what one receive or send has moved. Only a window of them
 * is at hand at a time. Whoever has the bytes fills it, and whoever reads them moves the cursor.
 */
#ifndef CURSOR_H
#define CURSOR_H

#include "types.h"

enum {
	HTTP_WINDOW = 1024, /* bytes that are at hand at a time; a power of two */
	HTTP_PAD = 48,	    /* bytes behind the window that may be read, and mean nothing */
};

/* Eight line feeds lie behind the bytes in the window, so that a search for the end of a line needs no other. */
#define HTTP_SENTINEL 0x0a0a0a0a0a0a0a0aULL

struct http_cursor {
	__u64 at;      /* offset of the next byte */
	__u64 length;  /* of the transfer */
	__u64 base;    /* offset of the window's first byte */
	__u64 filled;  /* bytes in the window */
	__u64 now;     /* when it was moved */
	__u64 skipped; /* bytes that were passed over unseen: bodies */
};

#endif /* CURSOR_H */
