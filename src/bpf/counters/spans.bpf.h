/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Buckets of durations, a twentieth of a duration wide at most. There are hundreds, of which a series needs a few that lie together: so they
 * come in spans, which a series gets when it has something to count there.
 *
 * Which durations a bucket has is in tables of user space (src/model/buckets.rs). All bounds are inclusive.
 */
#ifndef SPANS_BPF_H
#define SPANS_BPF_H

#include "http.h"
#include <bpf/bpf_helpers.h>

enum {
	HTTP_SHORTEST_LOG = 10, /* of the first span, which has all that is shorter, too */
	HTTP_LONGEST_LOG = HTTP_SHORTEST_LOG + 2 * HTTP_SPANS - 1,
	HTTP_PLACES = HTTP_SPANS * HTTP_SPAN_PLACES,
};

/* Upper bounds of the buckets, span by span; after the last bucket of a span comes what nothing is over. */
const volatile __u64 http_bounds_ns[HTTP_PLACES + 1];
/* The first bucket for durations of a 32nd of an octave. */
const volatile __u8 http_first_buckets[HTTP_PLACES];
/* In which coarse bucket each lies. */
const volatile __u8 http_coarse_buckets[HTTP_PLACES];

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 32768); /* user space says how many */
	__type(key, __u32);
	__type(value, struct http_span);
} http_spans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 32768); /* as many */
	__uint(key_size, 0);
	__uint(value_size, sizeof(__u32));
} http_spans_free SEC(".maps");

/* Which spans of which series are being taken, so that no two CPUs take the same: few at any time. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, __u8);
} http_claims SEC(".maps");

/* 1 if it is over the bound, else 0, without a branch: neither is over 2^63. */
static __always_inline __u64 http_is_over(__u64 value, __u64 bound)
{
	return (bound - value) >> 63;
}

/* How often a number can be halved, which is not 0. */
static __always_inline __u32 http_log2(__u64 value)
{
	__u32 log = 0, half, bits;

	for (bits = 32; bits; bits /= 2) {
		half = http_is_over(value, (1ULL << bits) - 1) * bits;
		value >>= half;
		log += half;
	}
	return log;
}

/* Which bucket a duration is in: that of a span, behind those of all spans before. */
static __always_inline __u32 http_bucket(__u64 ns)
{
	__u32 log, part, span, first;

	if (ns >= 1ULL << HTTP_LONGEST_LOG)
		ns = (1ULL << HTTP_LONGEST_LOG) - 1;
	log = http_log2(ns | 1 << HTTP_SHORTEST_LOG);
	/* Octaves come in parts of the same length. The first span is one octave. */
	part = (log - HTTP_SHORTEST_LOG + 1) * (HTTP_SPAN_PLACES / 2) +
	       (ns >> (log - 5) & (HTTP_SPAN_PLACES / 2 - 1));
	/* The compiler knows how large they can be, but not every verifier does. */
	barrier_var(part);
	part &= HTTP_PLACES - 1;
	span = part & -HTTP_SPAN_PLACES;
	first = span + http_first_buckets[part];
	barrier_var(first);
	first &= HTTP_PLACES - 1;
	/* No part has more than two bounds in it. */
	return first + http_is_over(ns, http_bounds_ns[first]) + http_is_over(ns, http_bounds_ns[first + 1]);
}

static __always_inline __u32 http_coarse_bucket(__u32 bucket)
{
	barrier_var(bucket);
	return http_coarse_buckets[bucket & (HTTP_PLACES - 1)];
}

#endif /* SPANS_BPF_H */
