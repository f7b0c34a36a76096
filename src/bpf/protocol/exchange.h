/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a protocol tells of a request and its final response. */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "http.h"

struct http_exchange {
	__u64 duration; /* ns from request line to the response's first byte */
	__u16 status;
	enum http_method method;
	enum http_version version; /* of the request */
};

#endif /* EXCHANGE_H */
