/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The fields of a header block (RFC 7541), as far as they say something about a request or its answer.
 *
 * No entry's size is kept, and no eviction is followed: a dynamic index counts from the newest insertion, and who
 * encodes validly refers to nothing that was evicted. So an index names an insertion whatever the table's size is, and a
 * ring of what the last ones were is the whole table, if it has no more entries. Strings are skipped by the length that
 * they are sent with.
 */
#ifndef HTTP2_HPACK_H
#define HTTP2_HPACK_H

#include "protocol/http2/tokens.h"

/* What one step has found, in hpack.h as in frames.h, which says more. */
enum h2_event {
	H2_NOTHING,
	H2_WINDOW_END, /* more bytes are wanted at `at` */
	H2_HEAD,       /* a block is complete: that of stream `of` */
	H2_ENDED,      /* stream `stream` has ended with its data */
	H2_RESET,      /* stream `stream` was reset */
	H2_GREETED,    /* the first frame was SETTINGS */
	H2_LOSS,       /* the frames were followed and no longer can be */
	H2_RETREAT,    /* what was only guessed to be frames is something else */
};

/* Where in a block a direction is. */
enum h2_field {
	H2_FIELD_START,
	H2_FIELD_INDEX, /* octets of an index after its first, or of a table's size */
	H2_NAME_LENGTH,
	H2_NAME_LENGTH_ON, /* its octets after the first */
	H2_VALUE_LENGTH,
	H2_VALUE_LENGTH_ON,
	H2_NAME, /* strings come last */
	H2_VALUE,
};

/* How a field is represented. */
enum h2_form {
	H2_INDEXED,
	H2_INSERTED, /* a literal that goes into the dynamic table */
	H2_LITERAL,
	H2_TABLE_SIZE,	   /* no field but an update of the table's size, which changes nothing here */
	H2_CODED = 1 << 7, /* with it: the string is in Huffman's code */
};

/* What the fields of a block were. */
enum h2_seen {
	H2_SEEN_METHOD = 1 << 0,
	H2_SEEN_STATUS = 1 << 1,
	H2_SEEN_GRPC = 1 << 2,
	H2_SEEN_PSEUDO = 1 << 3,  /* any that only a head begins with */
	H2_SEEN_UNKNOWN = 1 << 4, /* any of which the name is not known */
	H2_SEEN_AGED = 1 << 5,	  /* since it is older than what is remembered */
};

#define H2_INVALID 0xffff /* of an index to which there is no entry */

enum {
	H2_STATIC = 61, /* entries of the static table */
	H2_DYNAMIC_MAX =
		64 << 5, /* entries that a tentative direction may refer to: those of a table of 64 KB */
};

/* What an index refers to. */
static HTTP_INLINE __u16 h2_resolve(struct h2_direction *d, __u32 index)
{
	__u32 age = index - H2_STATIC - 1;

	if (index <= H2_STATIC)
		return index ? h2_static_kind(index) : H2_INVALID;
	if (age >= d->inserted &&
	    (!(d->flags & H2_LATE) || (d->flags & H2_TENTATIVE && age >= H2_DYNAMIC_MAX)))
		return H2_INVALID;
	if (age >= d->inserted)
		return H2_NAME_UNKNOWN;
	if (age >= H2_RING)
		return H2_NAME_AGED;
	return d->kinds[(d->inserted - 1 - age) & (H2_RING - 1)];
}

/* A field is complete. Of several alike the first counts. */
static HTTP_INLINE void h2_note(struct h2_direction *d, __u16 kind)
{
	d->field = H2_FIELD_START;
	switch (H2_NAME_OF(kind)) {
	case H2_NAME_AGED:
		d->seen |= H2_SEEN_UNKNOWN | H2_SEEN_AGED;
		break;
	case H2_NAME_UNKNOWN:
		d->seen |= H2_SEEN_UNKNOWN;
		break;
	case H2_NAME_PSEUDO:
		d->seen |= H2_SEEN_PSEUDO;
		break;
	case H2_NAME_METHOD:
		if (!(d->seen & H2_SEEN_METHOD))
			d->method = H2_VALUE_OF(kind);
		d->seen |= H2_SEEN_METHOD | H2_SEEN_PSEUDO;
		break;
	case H2_NAME_STATUS:
		if (!(d->seen & H2_SEEN_STATUS))
			d->status = H2_VALUE_OF(kind);
		d->seen |= H2_SEEN_STATUS | H2_SEEN_PSEUDO;
		break;
	case H2_NAME_GRPC:
		if (!(d->seen & H2_SEEN_GRPC))
			d->grpc = H2_VALUE_OF(kind);
		d->seen |= H2_SEEN_GRPC;
		break;
	default:
		break;
	}
}

/* The value of a literal, in so far as it matters. */
static HTTP_INLINE __u16 h2_literal_kind(const struct h2_direction *d)
{
	int coded = d->form & H2_CODED;

	switch (d->name) {
	case H2_NAME_METHOD:
		return h2_method_kind(d->token, d->size, coded);
	case H2_NAME_STATUS:
		return h2_status_kind(d->token, d->size, coded);
	case H2_NAME_GRPC:
		return h2_grpc_kind(d->token, d->size, coded);
	default:
		return d->name;
	}
}

/* A string is complete. */
static HTTP_INLINE void h2_end_string(struct h2_direction *d)
{
	__u16 kind;

	if (d->field == H2_NAME) {
		d->name = h2_name(d->token, d->more, d->size, d->form & H2_CODED);
		d->field = H2_VALUE_LENGTH;
		return;
	}
	kind = h2_literal_kind(d);
	if ((d->form & ~H2_CODED) == H2_INSERTED) {
		d->kinds[d->inserted & (H2_RING - 1)] = kind;
		d->inserted++;
	}
	h2_note(d, kind);
}

/* How many octets of the string are worth a look: of a name the first in any case. */
static HTTP_INLINE __u8 h2_reads(const struct h2_direction *d)
{
	if (d->field == H2_NAME)
		return h2_may_matter(d->size, d->form & H2_CODED) ? d->size : 1;
	switch (d->name) {
	case H2_NAME_METHOD:
		return d->size <= H2_METHOD_MAX ? d->size : 0;
	case H2_NAME_STATUS:
	case H2_NAME_GRPC:
		return d->size <= H2_NUMBER_MAX ? d->size : 0;
	default:
		return 0;
	}
}

/* The length of a string is complete. */
static HTTP_INLINE void h2_begin_string(struct h2_direction *d)
{
	d->field = d->field < H2_VALUE_LENGTH ? H2_NAME : H2_VALUE;
	d->size = d->number < 255 ? d->number : 255;
	d->taken = 0;
	d->token = 0;
	d->more = 0;
}

/* A number is complete: an index, a table's size, or a length. */
static HTTP_INLINE enum h2_event h2_end_number(struct h2_direction *d)
{
	__u16 kind;

	if (d->field != H2_FIELD_INDEX) {
		h2_begin_string(d);
		return H2_NOTHING;
	}
	if (d->form == H2_TABLE_SIZE) {
		d->field = H2_FIELD_START;
		return H2_NOTHING;
	}
	if (!d->number && d->form != H2_INDEXED) {
		d->field = H2_NAME_LENGTH;
		return H2_NOTHING;
	}
	kind = h2_resolve(d, d->number);
	if (kind == H2_INVALID)
		return H2_LOSS;
	if (d->form == H2_INDEXED) {
		h2_note(d, kind);
	} else {
		d->name = H2_NAME_OF(kind);
		d->field = H2_VALUE_LENGTH;
	}
	return H2_NOTHING;
}

/* What an octet is to the number that it belongs to. */
enum h2_octet {
	H2_GOES_ON, /* or it belongs to none */
	H2_LAST,
	H2_TOO_MUCH,
};

/* The octet that a number begins in, behind the bits that are not its own; RFC 7541, 5.1. */
static HTTP_INLINE enum h2_octet h2_begin_number(struct h2_direction *d, __u8 c, __u8 mask)
{
	d->number = c & mask;
	d->shift = 0;
	return d->number == mask ? H2_GOES_ON : H2_LAST;
}

/* An octet after that. What needs more than 31 bits is no length of anything. */
static HTTP_INLINE enum h2_octet h2_number_octet(struct h2_direction *d, __u8 c)
{
	if (d->shift > 28 || (d->shift == 28 && c & 0x78))
		return H2_TOO_MUCH;
	d->number += (__u32)(c & 0x7f) << (d->shift & 31);
	d->shift += 7;
	return c & 0x80 ? H2_GOES_ON : H2_LAST;
}

/* The first octet of a field; RFC 7541, 6. Whether it may ever be indexed is of no interest. */
static HTTP_INLINE enum h2_octet h2_begin_field(struct h2_direction *d, __u8 c)
{
	__u8 mask;

	if (c & 0x80) {
		d->form = H2_INDEXED;
		mask = 0x7f;
	} else if (c & 0x40) {
		d->form = H2_INSERTED;
		mask = 0x3f;
	} else if (c & 0x20) {
		d->form = H2_TABLE_SIZE;
		mask = 0x1f;
	} else {
		d->form = H2_LITERAL;
		mask = 0x0f;
	}
	d->field = H2_FIELD_INDEX;
	return h2_begin_number(d, c, mask);
}

/* The first octet of a string's length. */
static HTTP_INLINE enum h2_octet h2_begin_length(struct h2_direction *d, __u8 c)
{
	d->form = (d->form & ~H2_CODED) | (c & H2_CODED);
	d->field++;
	return h2_begin_number(d, c, 0x7f);
}

/* An octet of a string that is worth a look. */
static HTTP_INLINE enum h2_octet h2_string_octet(struct h2_direction *d, __u8 c)
{
	if (d->taken < 8)
		d->token |= (__u64)c << (d->taken & 7) * 8;
	else
		d->more |= (__u32)c << (d->taken & 3) * 8;
	d->taken++;
	d->number--;
	return H2_GOES_ON;
}

/* Takes the next octet of a block. */
static HTTP_INLINE enum h2_octet h2_block_octet(struct h2_direction *d, __u8 c)
{
	switch (d->field) {
	case H2_FIELD_START:
		return h2_begin_field(d, c);
	case H2_NAME_LENGTH:
	case H2_VALUE_LENGTH:
		return h2_begin_length(d, c);
	case H2_NAME:
	case H2_VALUE:
		return h2_string_octet(d, c);
	default:
		return h2_number_octet(d, c);
	}
}

/* The octets of a string that is whole at `octets`, by words. Those behind it may be read, and mean nothing. */
static HTTP_INLINE void h2_take_string(struct h2_direction *d, const __u8 *octets)
{
	d->token = http1_word(octets);
	if (d->size < 8)
		d->token &= (1ULL << (d->size & 7) * 8) - 1;
	d->more = http1_word(octets + 8) & 0xffffff;
	d->number = 0;
}

#endif /* HTTP2_HPACK_H */
