/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which response answers which request of an HTTP/1 connection: outstanding requests wait in order, and
 * what answers none of them is said to be unmatched, never guessed into a pair. Pure like http1.h.
 */
#ifndef HTTP1_PAIRING_H
#define HTTP1_PAIRING_H

#include "protocol/http1/framing.h"

#define HTTP1_RUNS 4 /* runs of outstanding requests held in the connection; a power of two */

/* Successive requests alike in method, version and time of arrival. */
struct http1_run {
	__u64 time;
	__u64 method;
	__u32 count;
	__u32 minor;
};

struct http1_connection {
	struct http1_stream request;
	struct http1_stream response;
	__u64 id;	  /* names the connection where runs are spilled */
	__u32 first;	  /* oldest outstanding run */
	__u32 end;	  /* one past the youngest */
	__u32 unqueued;	  /* outstanding requests after the youngest run that no longer had a place */
	__u32 copied_seq; /* the includer's: TCP's sequence number after the last receive that it saw */
	struct http1_run runs[HTTP1_RUNS];
};

/* A request and its final response. */
struct http1_exchange {
	__u64 duration; /* ns from request line to the response's first byte */
	__u64 method;	/* as text, 0 for all but the standard ones */
	__u16 status;
	__u8 minor; /* of HTTP/1.x */
};

/*
 * More outstanding runs than a connection holds go to the includer, which keeps run number n of a
 * connection until it is taken back in order. Zero on success.
 */
static int http1_spill(const struct http1_connection *conn, __u32 n, const struct http1_run *run);
static int http1_unspill(const struct http1_connection *conn, __u32 n, struct http1_run *run);

static HTTP1_INLINE void http1_init(struct http1_connection *conn, __u64 id)
{
	__builtin_memset(conn, 0, sizeof(*conn));
	conn->response.flags = HTTP1_RESPONSES;
	conn->id = id;
}

/* Forgets the outstanding requests: what answers them can no longer be told. */
static HTTP1_INLINE void http1_forget(struct http1_connection *conn)
{
	conn->first = conn->end;
	conn->unqueued = 0;
}

/* Takes the request line that is complete: the request is outstanding from now on. */
static HTTP1_INLINE void http1_request(struct http1_connection *conn, __u64 now)
{
	struct http1_run run = { .time = now, .count = 1, .minor = conn->request.minor != 0 };
	__u32 held = conn->end - conn->first;
	struct http1_run *last;

	run.method = http1_standard_method(conn->request.token);
	if (conn->request.flags & HTTP1_TENTATIVE) {
		/* The first one, or one after a loss: what was sent before belongs to nothing known. */
		conn->request.flags &= ~HTTP1_TENTATIVE;
		http1_forget(conn);
		conn->response.state = HTTP1_LOST;
		held = 0;
	}
	if (conn->unqueued) {
		conn->unqueued++;
		return;
	}
	last = &conn->runs[(conn->end - 1) & (HTTP1_RUNS - 1)];
	if (held && held <= HTTP1_RUNS && last->time == now && last->method == run.method &&
	    last->minor == run.minor) {
		last->count++;
	} else if (held < HTTP1_RUNS) {
		conn->runs[conn->end & (HTTP1_RUNS - 1)] = run;
		conn->end++;
	} else if (http1_spill(conn, conn->end, &run) == 0) {
		conn->end++;
	} else {
		conn->unqueued = 1;
	}
}

/* What a response's status line means. */
enum http1_answer {
	HTTP1_INTERIM,	 /* 1xx: the final one is to come */
	HTTP1_FINAL,	 /* answers the oldest outstanding request */
	HTTP1_UNMATCHED, /* answers no request that is known */
};

/* Removes one request from the oldest run. */
static HTTP1_INLINE void http1_answered(struct http1_connection *conn, struct http1_run *run)
{
	if (--run->count)
		return;
	conn->first++;
	if (conn->end - conn->first < HTTP1_RUNS)
		return;
	if (http1_unspill(conn, conn->first + HTTP1_RUNS - 1, run)) {
		/* The rest of the queue is gone, and how many it held: nothing matches any more. */
		conn->end = conn->first + HTTP1_RUNS - 1;
		conn->unqueued = 1U << 31;
	}
}

/* Takes the status line that is complete. */
static HTTP1_INLINE enum http1_answer http1_response(struct http1_connection *conn,
						     struct http1_exchange *exchange)
{
	struct http1_stream *s = &conn->response;
	struct http1_run *run = &conn->runs[conn->first & (HTTP1_RUNS - 1)];

	if (s->status < 200 && s->status != 101) {
		s->flags |= HTTP1_NO_BODY;
		return HTTP1_INTERIM;
	}
	if (s->status == 204 || s->status == 304)
		s->flags |= HTTP1_NO_BODY;
	if (conn->first == conn->end) {
		if (conn->unqueued)
			conn->unqueued--;
		return HTTP1_UNMATCHED;
	}
	exchange->duration = s->time > run->time ? s->time - run->time : 0;
	exchange->status = s->status;
	exchange->method = run->method;
	exchange->minor = run->minor;
	if (run->method == HTTP1_TEXT("HEAD"))
		s->flags |= HTTP1_NO_BODY;
	if (s->status == 101 || (run->method == HTTP1_TEXT("CONNECT") && s->status < 300)) {
		s->flags |= HTTP1_TUNNEL;
		conn->request.state = HTTP1_OPAQUE;
	}
	http1_answered(conn, run);
	return HTTP1_FINAL;
}

#endif /* HTTP1_PAIRING_H */
