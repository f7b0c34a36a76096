/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The bytes of one receive or send: where they lie in user memory, and the window of them that is at
 * hand. In scratch memory rather than on the stack, which is too small, and because the verifier need not know
 * the numbers in it. Receives and sends have their own, so that one may interrupt the other.
 */
#ifndef TRANSFER_BPF_H
#define TRANSFER_BPF_H

#include "kernel/scratch.bpf.h"
#include "protocol/cursor.h"
#include <bpf/bpf_helpers.h>

struct http_transfer {
	struct http_cursor cursor;
	/* The user buffer that holds the cursor: `size` bytes at `address` are those from `start` on. */
	__u64 address;
	__u64 start;
	__u64 size;
	/* The buffers after it: an array of iovecs. */
	__u64 vector;
	__u64 vectors;
	bool vector_in_kernel;
	__u64 inode;	/* of the socket that has a connection, where state lies in a hash */
	__u64 requests; /* found in this transfer */
	__u64 steps;	/* what following it has taken so far; a transfer may take only so much */
	__u64 refused;	/* one past the offset at which there is no whole head */
	/* The protocol's own, from one of its functions to the next; what is left of other transfers at first. */
	__u64 scratch[16];
	__u8 window[HTTP_WINDOW + HTTP_PAD];
};

enum http_direction {
	HTTP_RECEIVE,
	HTTP_SEND,
	HTTP_DIRECTIONS,
};

HTTP_SCRATCH(http_transfers, struct http_transfer, HTTP_DIRECTIONS);

/* The one that is being followed. */
static __always_inline struct http_transfer *http_transfer_here(enum http_direction direction)
{
	return http_scratch(http_transfers, direction);
}

static __always_inline struct http_transfer *http_transfer_of(enum http_direction direction, __u64 length)
{
	struct http_transfer *transfer = http_transfer_here(direction);

	if (!transfer)
		return NULL;
	__builtin_memset(transfer, 0, offsetof(struct http_transfer, scratch));
	transfer->cursor.length = length;
	return transfer;
}

static __always_inline void http_set_buffer(struct http_transfer *transfer, __u64 address, __u64 size)
{
	transfer->address = address;
	transfer->size = size;
}

static __always_inline void http_set_vector(struct http_transfer *transfer, __u64 vector, __u64 vectors)
{
	transfer->vector = vector;
	transfer->vectors = vectors;
}

static __always_inline int http_set_message(struct http_transfer *transfer, __u64 message)
{
	struct user_msghdr header;

	if (bpf_probe_read_user(&header, sizeof(header), (void *)message))
		return -1;
	http_set_vector(transfer, (__u64)header.msg_iov, header.msg_iovlen);
	return 0;
}

/* The next of the buffers. */
static __always_inline bool http_next_buffer(struct http_transfer *transfer, struct iovec *next)
{
	void *vector = (void *)transfer->vector;

	if (!transfer->vectors)
		return false;
	transfer->vectors--;
	transfer->vector += sizeof(*next);
	return !(transfer->vector_in_kernel ? bpf_probe_read_kernel(next, sizeof(*next), vector) :
					      bpf_probe_read_user(next, sizeof(*next), vector));
}

/* Brings so many of the bytes at the cursor into the window, at most: 1 when it is worth another try, -1 when it cannot be. */
static __always_inline int http_fill_some(struct http_transfer *transfer, __u64 most)
{
	struct http_cursor *cur = &transfer->cursor;
	__u64 offset = cur->at - transfer->start;
	__u64 size = transfer->size;
	__u64 n;

	if (offset >= size) {
		struct iovec next;

		if (!http_next_buffer(transfer, &next))
			return -1;
		transfer->start += size;
		transfer->address = (__u64)next.iov_base;
		transfer->size = next.iov_len;
		offset -= size;
		size = next.iov_len;
		if (offset >= size)
			return 1;
	}
	n = size - offset;
	if (n > cur->length - cur->at)
		n = cur->length - cur->at;
	if (n > most)
		n = most;
	cur->base = cur->at;
	cur->filled = n;
	barrier_var(n);
	if (n > HTTP_WINDOW)
		return -1;
	if (bpf_probe_read_user(transfer->window, n, (void *)(transfer->address + offset))) {
		cur->filled = 0;
		return -1;
	}
	*(__u64 *)(transfer->window + n) = HTTP_SENTINEL;
	return 1;
}

static __always_inline int http_fill(struct http_transfer *transfer)
{
	return http_fill_some(transfer, HTTP_WINDOW);
}

#endif /* TRANSFER_BPF_H */
