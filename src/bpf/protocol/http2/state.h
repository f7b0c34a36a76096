/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is kept of an HTTP/2 connection. Zeroed memory is a connection that was joined in the middle: nothing is known
 * of what its dynamic tables hold.
 */
#ifndef HTTP2_STATE_H
#define HTTP2_STATE_H

#include "http.h"

enum {
	H2_RING = 128,	 /* insertions that are remembered: as many as a table of 4096 octets has room for */
	H2_STREAMS = 16, /* of them a connection has slots for */
	H2_MORE_STREAMS = 112, /* and a second block, for connections that need it */
};

/* One direction of a connection: frames.h has the frame, hpack.h the field of the block that is being read. */
struct h2_direction {
	__u64 token;	/* the first octets of the string, the first one in the lowest byte */
	__u32 more;	/* the octets after those */
	__u32 number;	/* as read so far, or the octets of a string still to come */
	__u32 inserted; /* into the dynamic table, in all; those that were evicted at once count too */
	__u32 left;	/* octets of the frame still to come, but for its padding */
	__u32 stream;	/* of the frame */
	__u32 of;	/* the stream that the block is of, from its first frame on */
	__u32 last; /* the highest stream that a request came on; of responses, that may have been answered unseen */
	__u32 guessed; /* the highest one that it is guessed to have come on */
	__u16 name;    /* of the field: enum h2_name */
	__u16 status;  /* what the block says, where `seen` has it */
	__u16 grpc;
	__u16 seen;   /* enum h2_seen */
	__u8 method;  /* enum http_method */
	__u8 state;   /* enum h2_state */
	__u8 flags;   /* enum h2_flag */
	__u8 opening; /* enum h2_opening: what the block's first frame said */
	__u8 type;    /* of the frame */
	__u8 bits;    /* its flags */
	__u8 pad;     /* octets of padding at its end */
	__u8 count;   /* octets of its head that were taken; then those before the fragment still to come */
	__u8 field;   /* enum h2_field */
	__u8 form;    /* enum h2_form */
	__u8 shift;   /* of the number's next octet */
	__u8 size;    /* of the string; 255 if it is longer */
	__u8 taken;   /* octets of it that were looked at */
	__u8 pending; /* requests that are only guessed at so far */
	__u16 block;  /* how long it is so far, in parts of 64 octets */
	__u16 kinds[H2_RING]; /* of the last insertions: their names, and their values where those matter */
};

/*
 * An outstanding request. The receiving side fills a slot that is free, and afterwards changes nothing but `method`; the
 * sending side alone writes the rest, and frees it. So neither needs a lock.
 */
struct h2_stream {
	__u64 time;   /* when its head was received */
	__u32 id;     /* 0: free */
	__u16 status; /* of the final response; 0: unknown */
	__u8 method;  /* and enum h2_request_flag */
	__u8 answered;
};

struct h2_more_streams {
	struct h2_stream slots[H2_MORE_STREAMS];
};

struct h2_connection {
	struct h2_direction request;
	struct h2_direction response;
	/* Written by the receiving side. */
	__u32 heads;   /* of requests, in all */
	__u32 counted; /* of them by the receiving side */
	/* Written by the sending side: one more than the requests that it has counted, once it has shown that this is HTTP/2. */
	__u32 shown;
	__u16 in_the_way; /* times that a slot was wanted whose stream the client had given up; by the receiving side */
	__u16 swept; /* of them those after which such slots were freed; by the sending side */
	struct h2_stream streams[H2_STREAMS];
};

_Static_assert(sizeof(struct h2_direction) == 64 + 2 * H2_RING, "a direction has 320 bytes");
_Static_assert(sizeof(struct h2_stream) == 16, "a stream has 16 bytes");
_Static_assert(sizeof(struct h2_connection) == 912, "a connection fits into 1 KB with what storage adds");

enum h2_flag {
	H2_RESPONSES = 1 << 0, /* this is the direction of responses */
	H2_TENTATIVE = 1 << 1, /* only guessed to be HTTP/2, or where its frames begin */
	H2_FRESH = 1 << 2,     /* and nothing has been shown of the connection yet */
	H2_LATE = 1 << 3,      /* the dynamic table has entries that were not seen */
	H2_FIRST = 1 << 4,     /* the next frame is the first one, which has to be SETTINGS */
	H2_GRPC = 1 << 5,      /* a response had a gRPC status */
	H2_JOINED = 1 << 6,    /* the connection was joined in the middle */
};

/* What a method in a slot may come with. */
enum h2_request_flag {
	H2_UPGRADED = 1 << 5,  /* it came by HTTP/1 */
	H2_GUESSED = 1 << 6,   /* by a direction that is tentative */
	H2_CANCELLED = 1 << 7, /* the client has given the stream up */
};

#define H2_METHODS 0x1f /* of a slot's method without its flags */

#endif /* HTTP2_STATE_H */
