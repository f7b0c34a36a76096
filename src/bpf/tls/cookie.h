/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a program at a spot in a library is told of it: the attach cookie. It reaches user space through the skeleton's generated
 * types, as those of http.h do.
 */
#ifndef COOKIE_H
#define COOKIE_H

#include "types.h"

/* How a function says how much it has moved. */
enum tls_result {
	TLS_INT,     /* as an int, if that is over zero */
	TLS_LONG,    /* as a long, likewise */
	TLS_FLAG,    /* where its fourth argument leads, if it returns 1 */
	TLS_NOTHING, /* what it has moved was counted when it was written */
	TLS_NOWHERE, /* as a long, but nobody knows where that is */
};

/* What a call is for that begins. */
enum tls_call_kind {
	TLS_READ,
	TLS_WRITE,
	TLS_FLUSH, /* of what was written before, by writes of its own */
	TLS_MAKE,  /* a stream */
};

/* What a function does to a stream. */
enum tls_birth {
	TLS_ACCEPTS,	/* it is a server's from now on, and new */
	TLS_CONNECTS,	/* it is a client's */
	TLS_GOES_ON,	/* it is a server's, and new if it was not known */
	TLS_IS_CLEARED, /* it begins anew, as what it was */
	TLS_IS_NO_LONGER,
};

/*
 * The lowest bits say how many bytes the stack pointer is below what it was at the function's entry, as a signed number of 16 bits.
 * Above them is one of those above.
 */
#define TLS_WHAT_SHIFT 16

/* Besides: it is a function of Go, whose stacks move and whose arguments are in other registers. */
#define TLS_GO (1 << 24)

#endif /* COOKIE_H */
