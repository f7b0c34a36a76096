/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How much following one transfer may take, whatever its protocol. */
#ifndef BUDGET_BPF_H
#define BUDGET_BPF_H

#include "connection/transfer.bpf.h"

enum {
	HTTP_STEPS_A_CALL = 1 << 2,
	HTTP_CALLS = 1 << 6,
	HTTP_STEPS = HTTP_STEPS_A_CALL * HTTP_CALLS * HTTP_CALLS,
	/* Bytes of a transfer that are looked at, so that a long one takes no more than two that are exact whatever they hold. */
	HTTP_WALKED_MAX = 128 << 10,
};

/* Whether a walk ends here. */
static __always_inline bool http_walk_has_ended(const struct http_transfer *transfer)
{
	const struct http_cursor *cur = &transfer->cursor;

	return cur->at >= cur->length || cur->at - cur->skipped >= HTTP_WALKED_MAX ||
	       transfer->steps >= HTTP_STEPS;
}

/* The same before a step, which is taken if not. */
static __always_inline bool http_walk_is_over(struct http_transfer *transfer)
{
	if (http_walk_has_ended(transfer))
		return true;
	transfer->steps++;
	return false;
}

#endif /* BUDGET_BPF_H */
