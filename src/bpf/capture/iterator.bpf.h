/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * From a message's iterator to the user buffers that a receive or send has gone through. The iterator
 * stands behind the bytes that were moved, so that they are found by walking back.
 */
#ifndef ITERATOR_BPF_H
#define ITERATOR_BPF_H

#include "connection/transfer.bpf.h"
#include "counters/missed.bpf.h"
#include "kernel/task.bpf.h"

enum {
	HTTP_IOVECS = 1024, /* UIO_MAXIOV: more in one call are refused */
	HTTP_IOVECS_A_CALL = 1 << 5,
};

/*
 * Until Linux 5.14 the type and the direction were bits of one field
 * (https://git.kernel.org/torvalds/c/8cd54c1c8480), and until 6.4 the vector had another name
 * (https://git.kernel.org/torvalds/c/de4f5fed3f23).
 */
static __always_inline __u32 http_iterator_type(struct iov_iter *iter)
{
	const struct iov_iter___5_13 *old = (void *)iter;

	if (bpf_core_field_exists(iter->iter_type))
		return iter->iter_type;
	return old->type & ~1;
}

static __always_inline __u64 http_iterator_vector(struct iov_iter *iter)
{
	const struct iov_iter___6_3 *old = (void *)iter;

	return bpf_core_field_exists(iter->__iov) ? (__u64)iter->__iov : (__u64)old->iov;
}

/* Linux 6.0 and later: one buffer without a vector. */
static __always_inline bool http_iterates_buffer(struct iov_iter *iter)
{
	return bpf_core_enum_value_exists(enum iter_type, ITER_UBUF) &&
	       http_iterator_type(iter) == bpf_core_enum_value(enum iter_type, ITER_UBUF);
}

static __always_inline bool http_iterates_vector(struct iov_iter *iter)
{
	return http_iterator_type(iter) == bpf_core_enum_value(enum iter_type, ITER_IOVEC);
}

/*
 * Walks some iovecs back towards the one in which the moved bytes begin: 1 when that is reached, -1 when it
 * cannot be. A global function, which the verifier proves once, however often it is called.
 */
__noinline int http_walk_back(__u32 direction)
{
	struct http_transfer *transfer = http_transfer_here(direction);
	struct iovec segment;
	__u32 i;

	if (!transfer)
		return -1;
	for (i = 0; i < HTTP_IOVECS_A_CALL; i++) {
		asm volatile("" : "+r"(i)); /* older kernels refuse a loop that clang has turned inside out */
		if ((__s64)transfer->start <= 0)
			return 1;
		transfer->vector -= sizeof(segment);
		if (bpf_probe_read_kernel(&segment, sizeof(segment), (void *)transfer->vector))
			return -1;
		transfer->start -= segment.iov_len;
		transfer->vectors++;
	}
	return 0;
}

/* Has the transfer begin in the iovec in which the moved bytes do. */
static __always_inline void http_set_moved_vector(struct http_transfer *transfer,
						  enum http_direction direction, struct iov_iter *iter,
						  __u64 moved)
{
	int walked = 0;
	__u32 i;

	transfer->vector = http_iterator_vector(iter);
	transfer->vectors = iter->iov_offset > 0;
	transfer->vector_in_kernel = true;
	/* Where the iovec begins among the moved bytes: at first behind most of them, at last before the first. */
	transfer->start = moved - iter->iov_offset;
	for (i = 0; i <= HTTP_IOVECS / HTTP_IOVECS_A_CALL && !walked; i++)
		walked = http_walk_back(direction);
	if (walked <= 0)
		transfer->vectors = 0;
}

/*
 * The buffers of a transfer through an iterator that was over `size` bytes. Where it is one over pages or
 * kernel memory, or was not moved by as much, only the length of the transfer is known.
 */
static __always_inline bool http_set_iterator(struct http_transfer *transfer, enum http_direction direction,
					      struct iov_iter *iter, __u64 size)
{
	__u64 moved = size - iter->count;

	if (moved < transfer->cursor.length)
		return false;
	if (http_iterates_buffer(iter)) {
		/* By way of memory, since the verifier of older kernels allows no arithmetic with this pointer. */
		*(volatile __u64 *)&transfer->address = (__u64)iter->ubuf;
		transfer->address = *(volatile __u64 *)&transfer->address + iter->iov_offset - moved;
		transfer->size = moved;
		return true;
	}
	if (http_iterates_vector(iter)) {
		http_set_moved_vector(transfer, direction, iter, moved);
		return true;
	}
	return false;
}

/*
 * Finds the user buffers of a transfer. Where they cannot be found, whoever follows the `connected` stream says
 * so itself once it needs them; and what is sent before there is a connection is not missed.
 */
static __always_inline void http_locate_message(struct task_struct *task, bool connected,
						struct http_transfer *transfer, enum http_direction direction,
						struct msghdr *message, __u64 size)
{
	struct iov_iter *iter = &message->msg_iter;

	bool missed = connected || direction == HTTP_RECEIVE;

	if (http_task_field(task, flags) & HTTP_PF_KTHREAD) {
		if (!missed)
			return;
		/* Before Linux 5.12 a worker of io_uring was a kernel thread that borrows the memory. */
		if (http_iterates_buffer(iter) || http_iterates_vector(iter))
			http_miss(HTTP_MISSED_IO_URING, 1);
		else
			http_miss(HTTP_MISSED_KERNEL_THREAD, 1);
	} else if (!http_set_iterator(transfer, direction, iter, size) && missed && !connected) {
		http_miss(HTTP_MISSED_UNREADABLE, 1);
	}
}

#endif /* ITERATOR_BPF_H */
