/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kinds of answers of each owner. The table's hash leads from a kind to its place, and from the number of a kind, in
 * the order in which an owner has shown them, to the same place: so all of an owner are found without a search.
 */
#ifndef SERIES_BPF_H
#define SERIES_BPF_H

#include "counters/owner.bpf.h"
#include "counters/places.bpf.h"
#include "counters/shares.bpf.h"
#include "counters/spans.bpf.h"
#include "counters/tally.h"
#include "http.h"
#include "kernel/scratch.bpf.h"

HTTP_TABLE(http_series, struct http_series_key, struct http_series, 16384); /* user space says how many */

/* As http_sign_owner(). */
static __always_inline void http_sign_series(struct http_series *series, const struct http_series_key *key)
{
	int i;

	for (i = 0; i < HTTP_SHARDS; i++)
		series->durations[i].key = *key;
}

/* The n-th kind of an owner; after the last one comes that of all others. */
static __always_inline struct http_series_key http_kind(const struct http_owner_key *owner, __u16 n)
{
	struct http_series_key key = {
		.start_time = owner->start_time,
		.pid = owner->pid,
		.status = n,
		.method = HTTP_NO_METHOD,
	};

	return key;
}

/* The answers of an owner that have no place of their own: no server sends such a status. */
static __always_inline struct http_series_key http_other_kinds(const struct http_owner_key *owner)
{
	struct http_series_key key = {
		.start_time = owner->start_time,
		.pid = owner->pid,
		.status = 0,
		.method = HTTP_METHOD_OTHER,
		.version = HTTP_VERSION_1_1,
	};

	return key;
}

/*
 * What is asked of http_place_series(), and what it needs itself: it does not fit on the stack below all that parses an
 * answer, and a function that the verifier proves once takes numbers only.
 */
struct http_new_series {
	struct http_series_key key;
	struct http_series_key number;
	struct http_tally tally;
	__u32 place;
	__u32 pad;
};

HTTP_SCRATCH(http_new_series, struct http_new_series, 1);

/* Numbers a new kind, as other CPUs may be doing at the same time. False where there are too many. */
static __always_inline bool http_number_kind(struct http_owner *owner, struct http_new_series *new)
{
	int i;

	for (i = 0; i < 8 && new->number.status < HTTP_KINDS; i++, new->number.status++) {
		if (bpf_map_update_elem(&http_series_at, &new->number, &new->place, BPF_NOEXIST))
			continue;
		__sync_fetch_and_add(&owner->kinds, 1);
		return true;
	}
	return false;
}

/*
 * Takes a place for a kind, if there is one. It is numbered before it can be found, so that what was counted is never
 * without a number.
 */
static __always_inline int http_add_series(struct http_owner *owner, const struct http_series_key *key)
{
	static const struct http_series_key nothing;
	struct http_new_series *new;
	struct http_series *series;
	bool numbered;
	__u32 *other;

	new = http_scratch(http_new_series, 0);
	if (!new || bpf_map_pop_elem(&http_series_free, &new->place))
		return 0;
	series = bpf_map_lookup_elem(&http_series, &new->place);
	if (!series)
		return 0;
	http_sign_series(series, key);
	series->share = owner->share;
	new->number = http_kind(&owner->key, key->status ? owner->kinds : HTTP_KINDS);
	numbered = key->status ?
			   http_number_kind(owner, new) :
			   !bpf_map_update_elem(&http_series_at, &new->number, &new->place, BPF_NOEXIST);
	if (numbered && http_keep_place(&http_series_at, &http_series_used, key, &new->place)) {
		http_take(owner->share, HTTP_SERIES, 1);
		return 1;
	}
	/* Another CPU was faster: the number may be another one of the same place. */
	other = bpf_map_lookup_elem(&http_series_at, key);
	if (numbered && other)
		bpf_map_update_elem(&http_series_at, &new->number, other, BPF_ANY);
	http_sign_series(series, &nothing);
	bpf_map_push_elem(&http_series_free, &new->place, 0);
	return 0;
}

/*
 * The place of a kind of an owner, whose key becomes that of all its other kinds where there is no place for one more. NULL if
 * there is none even for that.
 */
static __always_inline __u32 *http_find_series(struct http_owner *owner, struct http_series_key *key)
{
	__u32 *at = bpf_map_lookup_elem(&http_series_at, key);
	bool may_add = owner->kinds < HTTP_KINDS && http_may_take(owner->share, HTTP_SERIES);
	int i;

	for (i = 0; i < 2 && !at; i++) {
		if (i == 1 || !may_add) {
			*key = http_other_kinds(&owner->key);
			at = bpf_map_lookup_elem(&http_series_at, key);
			if (at)
				return at;
			may_add = true;
		}
		http_add_series(owner, key);
		at = bpf_map_lookup_elem(&http_series_at, key);
	}
	return at;
}

/* Takes a place for buckets, if there is one and another CPU does not take it at the same time. */
static __always_inline __u32 http_take_span(struct http_series *series, __u32 place, __u32 span)
{
	__u64 claim = (__u64)place << 32 | span;
	__u32 taken = 0;
	__u8 one = 1;

	if (!http_may_take(series->share, HTTP_SPAN) ||
	    bpf_map_update_elem(&http_claims, &claim, &one, BPF_NOEXIST))
		return 0;
	if (series->spans[span & (HTTP_SPANS - 1)]) {
		taken = series->spans[span & (HTTP_SPANS - 1)];
	} else if (!bpf_map_pop_elem(&http_spans_free, &taken)) {
		series->spans[span & (HTTP_SPANS - 1)] = taken;
		http_take(series->share, HTTP_SPAN, 1);
	}
	bpf_map_delete_elem(&http_claims, &claim);
	return taken;
}

/* The buckets of a span, which are made where there are none; NULL if there is no room. */
static __always_inline struct http_span *http_span_of(struct http_series *series, __u32 place, __u32 span)
{
	__u32 at;

	barrier_var(span);
	span &= HTTP_SPANS - 1;
	at = series->spans[span];
	if (!at)
		at = http_take_span(series, place, span);
	return at ? bpf_map_lookup_elem(&http_spans, &at) : NULL;
}

static __always_inline void http_add_coarse(struct http_series *series, __u32 bucket, __u32 count)
{
	__u32 coarse = http_coarse_bucket(bucket);

	if (coarse < HTTP_COARSE_BUCKETS)
		__sync_fetch_and_add(&series->coarse[coarse], count);
}

/* Counts an answer. A global function, which the verifier proves once. */
__noinline int http_add_duration(__u32 place, __u64 ns)
{
	struct http_series *series = bpf_map_lookup_elem(&http_series, &place);
	__u32 bucket = http_bucket(ns), within = bucket % HTTP_SPAN_PLACES;
	struct http_span *span;

	if (!series)
		return 0;
	span = http_span_of(series, place, bucket / HTTP_SPAN_PLACES);
	if (span && within < HTTP_SPAN_BUCKETS)
		__sync_fetch_and_add(&span->buckets[within], 1);
	else
		http_add_coarse(series, bucket, 1);
	/* Last, since it tells that there is something to read. */
	__sync_fetch_and_add(&series->durations[http_shard()].sum, ns ?: 1);
	return 0;
}

/*
 * Moves what a series has counted in a span to another one, if there is one, and gives the buckets back. Returns how many
 * answers that were. A global function, which the verifier proves once.
 */
__noinline int http_move_span(__u32 from, __u32 to, __u32 span)
{
	struct http_series *source = bpf_map_lookup_elem(&http_series, &from);
	struct http_series *target = bpf_map_lookup_elem(&http_series, &to);
	struct http_span *old, *new = NULL;
	__u32 place, i;
	int answers = 0;

	if (!source)
		return 0;
	place = source->spans[span & (HTTP_SPANS - 1)];
	old = bpf_map_lookup_elem(&http_spans, &place);
	if (!place || !old)
		return 0;
	if (target)
		new = http_span_of(target, to, span);
	for (i = 0; i < HTTP_SPAN_BUCKETS; i++) {
		__u32 count = old->buckets[i];

		if (!count)
			continue;
		if (new)
			__sync_fetch_and_add(&new->buckets[i], count);
		else if (target)
			http_add_coarse(target, span * HTTP_SPAN_PLACES + i, count);
		answers += count;
		old->buckets[i] = 0;
	}
	source->spans[span & (HTTP_SPANS - 1)] = 0;
	http_take(source->share, HTTP_SPAN, -1);
	bpf_map_push_elem(&http_spans_free, &place, 0);
	return answers;
}

/*
 * Moves all that a series has counted to another one, if there is one, and returns how many answers that were. A global
 * function, which the verifier proves once.
 */
__noinline int http_move_durations(__u32 from, __u32 to)
{
	struct http_series *source = bpf_map_lookup_elem(&http_series, &from);
	struct http_series *target = bpf_map_lookup_elem(&http_series, &to);
	__u64 sum = 0;
	int answers = 0, i;

	if (!source)
		return 0;
	for (i = 0; i < HTTP_SPANS; i++)
		if (source->spans[i])
			answers += http_move_span(from, to, i);
	/* Checked outside of loops: compilers add to a pointer before they look at it. */
	if (target)
		for (i = 0; i < HTTP_COARSE_BUCKETS; i++)
			if (source->coarse[i])
				__sync_fetch_and_add(&target->coarse[i], source->coarse[i]);
	for (i = 0; i < HTTP_COARSE_BUCKETS; i++) {
		answers += source->coarse[i];
		source->coarse[i] = 0;
	}
	for (i = 0; i < HTTP_SHARDS; i++) {
		sum += source->durations[i].sum;
		source->durations[i].sum = 0;
	}
	if (target)
		__sync_fetch_and_add(&target->durations[http_shard()].sum, sum);
	return answers;
}

#endif /* SERIES_BPF_H */
