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
#include "counters/tally.h"
#include "http.h"

HTTP_TABLE(http_series, struct http_series_key, struct http_series, 16384); /* user space says how many */

/* Upper bounds of the duration buckets, inclusive; one more bucket holds what is over the last. Set by
 * user space before the programs are loaded. */
const volatile __u64 http_bounds_ns[HTTP_BOUNDS];

static __always_inline __u32 http_bucket(__u64 ns)
{
	__u32 i;

	for (i = 0; i < HTTP_BOUNDS; i++)
		if (ns <= http_bounds_ns[i])
			break;
	return i;
}

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

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http_new_series);
} http_new_series SEC(".maps");

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
	int zero = 0;

	new = bpf_map_lookup_elem(&http_new_series, &zero);
	if (!new || bpf_map_pop_elem(&http_series_free, &new->place))
		return 0;
	series = bpf_map_lookup_elem(&http_series, &new->place);
	if (!series)
		return 0;
	http_sign_series(series, key);
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

static __always_inline void http_add_duration(struct http_series *series, __u64 ns)
{
	struct http_durations *durations = &series->durations[http_shard()];
	__u32 bucket = http_bucket(ns);

	if (bucket <= HTTP_BOUNDS)
		__sync_fetch_and_add(&durations->buckets[bucket], 1);
	__sync_fetch_and_add(&durations->sum, ns ?: 1);
}

/* Moves what a series has counted to another one, and returns how many answers that were. */
static __always_inline __u64 http_move_durations(struct http_series *from, struct http_series *to)
{
	struct http_durations *target = &to->durations[http_shard()];
	__u64 answers = 0;
	int shard, i;

	for (shard = 0; shard < HTTP_SHARDS; shard++) {
		struct http_durations *source = &from->durations[shard];

		if (!source->sum)
			continue;
		for (i = 0; i <= HTTP_BOUNDS; i++) {
			__u64 count = source->buckets[i];

			if (count)
				__sync_fetch_and_add(&target->buckets[i], count);
			answers += count;
			source->buckets[i] = 0;
		}
		__sync_fetch_and_add(&target->sum, source->sum);
		source->sum = 0;
	}
	return answers;
}

/* Clears what has nowhere to go, and returns how many answers that were. */
static __always_inline __u64 http_drop_durations(struct http_series *series)
{
	__u64 answers = 0;
	int shard, i;

	for (shard = 0; shard < HTTP_SHARDS; shard++) {
		for (i = 0; i <= HTTP_BOUNDS; i++) {
			answers += series->durations[shard].buckets[i];
			series->durations[shard].buckets[i] = 0;
		}
		series->durations[shard].sum = 0;
	}
	return answers;
}

#endif /* SERIES_BPF_H */
