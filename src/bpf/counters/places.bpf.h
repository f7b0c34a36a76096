/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Tables of counters. A table is an array, so that who knows a place in it needs no search, and so that user
 * space maps it into its memory and reads it without a call. Beside it lie a hash from keys to places, a stack of
 * the places that are free, and a bit for each that is used.
 *
 * Who gives a place back clears it before, so that no entry of a live process is ever evicted. Each shard of an entry
 * says whose it is: a place that was remembered, and means another by now, is found out by a look at what is counted up
 * anyway. All is allocated before, since an allocation in the middle of a receive may fail.
 */
#ifndef PLACES_BPF_H
#define PLACES_BPF_H

#include "types.h"
#include <bpf/bpf_helpers.h>

#define HTTP_TABLE(table, key_type, value_type, entries)          \
	struct {                                                  \
		__uint(type, BPF_MAP_TYPE_ARRAY);                 \
		__uint(map_flags, BPF_F_MMAPABLE);                \
		__uint(max_entries, entries);                     \
		__type(key, __u32);                               \
		__type(value, value_type);                        \
	} table SEC(".maps");                                     \
	struct {                                                  \
		__uint(type, BPF_MAP_TYPE_HASH);                  \
		__uint(max_entries, entries);                     \
		__type(key, key_type);                            \
		__type(value, __u32);                             \
	} table##_at SEC(".maps");                                \
	struct {                                                  \
		__uint(type, BPF_MAP_TYPE_STACK);                 \
		__uint(max_entries, entries);                     \
		__uint(key_size, 0);                              \
		__uint(value_size, sizeof(__u32));                \
	} table##_free SEC(".maps");                              \
	struct {                                                  \
		__uint(type, BPF_MAP_TYPE_ARRAY);                 \
		__uint(map_flags, BPF_F_MMAPABLE);                \
		__uint(max_entries, (entries) / HTTP_PLACE_BITS); \
		__type(key, __u32);                               \
		__type(value, __u64);                             \
	} table##_used SEC(".maps")

#define HTTP_PLACE_BITS 64 /* in a word of those for used places */
#define HTTP_NOWHERE (-1U) /* no place of any table */

/* From now on user space looks at a place. */
static __always_inline void http_use_place(void *used, __u32 place)
{
	__u32 word = place / HTTP_PLACE_BITS;
	__u64 *bits = bpf_map_lookup_elem(used, &word);

	if (bits) /* before Linux 5.12 programs have no atomic or */
		__sync_fetch_and_add(bits, 1ULL << place % HTTP_PLACE_BITS);
}

/*
 * Says that a place, which is filled already, is that of a key. False if another CPU was faster, and the place is not
 * needed.
 */
static __always_inline bool http_keep_place(void *at, void *used, const void *key, __u32 *place)
{
	if (bpf_map_update_elem(at, key, place, BPF_NOEXIST))
		return false;
	http_use_place(used, *place);
	return true;
}

/* Gives back a place, which is cleared and which no key leads to any more. */
static __always_inline void http_give_back(void *used, void *free, __u32 place)
{
	__u32 word = place / HTTP_PLACE_BITS;
	__u64 *bits = bpf_map_lookup_elem(used, &word);

	if (bits)
		__sync_fetch_and_add(bits, -(1ULL << place % HTTP_PLACE_BITS));
	bpf_map_push_elem(free, &place, 0);
}

#endif /* PLACES_BPF_H */
