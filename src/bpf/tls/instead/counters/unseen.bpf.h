/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What is within TLS may be TLS once more, of which the same library tells. */
#ifndef UNSEEN_BPF_H
#define UNSEEN_BPF_H

#include "types.h"

static __always_inline int http_greeted_tls(__u16 port)
{
	return 0;
}

static __always_inline int http_joined_tls(void)
{
	return 0;
}

#endif /* UNSEEN_BPF_H */
