/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which response answers which request of an HTTP/1 connection: outstanding requests wait in order, and
 * what answers none of them is said to be unmatched, never guessed into a pair. Pure like framing.h.
 */
#ifndef HTTP1_PAIRING_H
#define HTTP1_PAIRING_H

#include "protocol/exchange.h"
#include "protocol/http1/framing.h"

#define HTTP1_RUNS 4 /* runs of outstanding requests held in the connection; a power of two */

/* Successive requests alike in method, version and time of arrival. */
struct http1_run {
	__u64 time;
	__u32 count;
	enum http_method method;
	enum http_version version;
	__u16 pad;
};

struct http1_connection {
	struct http1_stream request;
	struct http1_stream response;
	__u32 first;	   /* number of the oldest outstanding run */
	__u32 end;	   /* one past the youngest */
	__u32 unqueued;	   /* outstanding requests after the youngest run that no longer had a place */
	__u32 outstanding; /* requests in all */
	struct http1_run runs[HTTP1_RUNS];
};

static HTTP_INLINE void http1_init(struct http1_connection *conn)
{
	__builtin_memset(conn, 0, sizeof(*conn));
	conn->response.flags = HTTP1_RESPONSES;
}

/* Forgets the outstanding requests: what answers them can no longer be told. */
static HTTP_INLINE void http1_forget(struct http1_connection *conn)
{
	conn->first = conn->end;
	conn->unqueued = 0;
	conn->outstanding = 0;
}

/* The connection is known from its very beginning: what it answers first is a whole response. */
static HTTP_INLINE void http1_is_whole(struct http1_connection *conn)
{
	http1_enter(&conn->response, HTTP1_START);
}

/* Whether the answers to outstanding requests will not be seen, since one has no end but the stream's. */
static HTTP_INLINE int http1_hides_answers(const struct http1_connection *conn)
{
	return conn->response.state == HTTP1_OPAQUE && !(conn->response.flags & HTTP1_TUNNEL) &&
	       conn->outstanding;
}

/* Whether something was sent that is no answer where one was due, so that nothing can be paired any more. */
static HTTP_INLINE int http1_answers_nothing(const struct http1_connection *conn)
{
	return conn->response.state == HTTP1_LOST && conn->outstanding;
}

/* Where an outstanding request went. */
enum http1_place {
	HTTP1_HELD,	/* into the connection */
	HTTP1_OVERFLOW, /* nowhere yet: the caller tries to keep the run, and says so to http1_kept() */
};

/*
 * Takes the request line that is complete: the request is outstanding from now on. A connection holds only
 * so many runs; one more is run number `end`, which the caller keeps until http1_wants_run() asks for it.
 */
static HTTP_INLINE enum http1_place http1_request(struct http1_connection *conn, __u64 now,
						  struct http1_run *run)
{
	__u32 held = conn->end - conn->first;
	struct http1_run *last;

	*run = (struct http1_run){
		.time = now,
		.count = 1,
		.method = conn->request.method,
		.version = conn->request.minor ? HTTP_VERSION_1_1 : HTTP_VERSION_1_0,
	};
	if (conn->request.flags & HTTP1_TENTATIVE) {
		/* The first one, or one after a loss: what was sent before belongs to nothing known. */
		conn->request.flags &= ~HTTP1_TENTATIVE;
		http1_forget(conn);
		conn->response.state = HTTP1_LOST;
		held = 0;
	}
	conn->outstanding++;
	if (conn->unqueued) {
		conn->unqueued++;
		return HTTP1_HELD;
	}
	last = &conn->runs[(conn->end - 1) & (HTTP1_RUNS - 1)];
	if (held && held <= HTTP1_RUNS && last->time == now && last->method == run->method &&
	    last->version == run->version) {
		last->count++;
		return HTTP1_HELD;
	}
	if (held >= HTTP1_RUNS)
		return HTTP1_OVERFLOW;
	conn->runs[conn->end & (HTTP1_RUNS - 1)] = *run;
	conn->end++;
	return HTTP1_HELD;
}

/* Whether the caller could keep the run that did not fit into the connection. */
static HTTP_INLINE void http1_kept(struct http1_connection *conn, int kept)
{
	if (kept)
		conn->end++;
	else
		conn->unqueued = 1;
}

/* What a response's status line means. */
enum http1_answer {
	HTTP1_INTERIM,	 /* 1xx: the final one is to come, or the end of its head */
	HTTP1_FINAL,	 /* answers the oldest outstanding request */
	HTTP1_UNMATCHED, /* answers no request that is known */
};

/* Takes the status line that is complete. */
static HTTP_INLINE enum http1_answer http1_response(struct http1_connection *conn,
						    struct http_exchange *exchange)
{
	struct http1_stream *s = &conn->response;
	struct http1_run *run = &conn->runs[conn->first & (HTTP1_RUNS - 1)];

	if (s->status < 200 && s->status != 101) {
		s->flags |= HTTP1_NO_BODY;
		return HTTP1_INTERIM;
	}
	/* It answers, unless what it switches to is HTTP/2, which then has the answer. */
	if (s->status == 101 && s->state != HTTP1_OPAQUE && conn->first != conn->end) {
		s->flags |= HTTP1_TUNNEL;
		return HTTP1_INTERIM;
	}
	if (s->status == 204 || s->status == 304)
		s->flags |= HTTP1_NO_BODY;
	if (conn->first == conn->end) {
		if (conn->unqueued) {
			conn->unqueued--;
			conn->outstanding--;
		}
		return HTTP1_UNMATCHED;
	}
	exchange->duration = s->time > run->time ? s->time - run->time : 0;
	exchange->status = s->status;
	exchange->method = run->method;
	exchange->version = run->version;
	if (run->method == HTTP_METHOD_HEAD)
		s->flags |= HTTP1_NO_BODY;
	if (s->status == 101 || (run->method == HTTP_METHOD_CONNECT && s->status < 300)) {
		s->flags |= HTTP1_TUNNEL;
		conn->request.state = HTTP1_OPAQUE;
	}
	conn->outstanding--;
	if (!--run->count)
		conn->first++;
	return HTTP1_FINAL;
}

/*
 * The head of the response that switches to HTTP/2 is over. Returns the request that it has upgraded. What is received may
 * go on with that request's body, before the preface comes.
 */
static HTTP_INLINE const struct http1_run *http1_upgraded(struct http1_connection *conn)
{
	const struct http1_run *run = &conn->runs[conn->first & (HTTP1_RUNS - 1)];

	conn->request.flags |= HTTP1_TENTATIVE;
	http1_forget(conn);
	return run;
}

/* The number of the run that would be the youngest in the connection, if it held all that it has room for. */
static HTTP_INLINE __u32 http1_last_held(const struct http1_connection *conn)
{
	return conn->first + HTTP1_RUNS - 1;
}

/* Whether an answer has made room for the oldest run that the caller keeps, which is number http1_last_held(). */
static HTTP_INLINE int http1_wants_run(const struct http1_connection *conn)
{
	return conn->end - conn->first >= HTTP1_RUNS &&
	       !conn->runs[http1_last_held(conn) & (HTTP1_RUNS - 1)].count;
}

/* Takes it back; NULL if the caller has it no longer, nor any after it. */
static HTTP_INLINE void http1_take_run(struct http1_connection *conn, const struct http1_run *run)
{
	__u32 i;

	if (run) {
		conn->runs[http1_last_held(conn) & (HTTP1_RUNS - 1)] = *run;
		return;
	}
	/* How many there are is still known: after as many answers the two directions are together again. */
	conn->end = http1_last_held(conn);
	conn->unqueued = conn->outstanding;
	for (i = 0; i < HTTP1_RUNS - 1; i++)
		conn->unqueued -= conn->runs[(conn->first + i) & (HTTP1_RUNS - 1)].count;
}

#endif /* HTTP1_PAIRING_H */
