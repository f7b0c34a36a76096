/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Connections: from a transfer's bytes to requests, responses and their counters.
 *
 * A connection has state only once it has received what may be a request. Until then its receives are
 * parsed into a scratch connection, after a look at the first bytes, and its sends are ignored: a client
 * and a stream that is not HTTP never get further.
 */
#ifndef CONNECTION_BPF_H
#define CONNECTION_BPF_H

struct http_spill_key {
	__u64 id;
	__u64 n;
};

/* Only for pipelines of many unlike requests. Least recently used goes first: closed connections. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct http_spill_key);
	__type(value, struct http1_run);
} http_spilled SEC(".maps");

static int http1_spill(const struct http1_connection *conn, __u32 n, const struct http1_run *run)
{
	struct http_spill_key key = { .id = conn->id, .n = n };

	return bpf_map_update_elem(&http_spilled, &key, run, BPF_ANY);
}

static int http1_unspill(const struct http1_connection *conn, __u32 n, struct http1_run *run)
{
	struct http_spill_key key = { .id = conn->id, .n = n };
	struct http1_run *spilled = bpf_map_lookup_elem(&http_spilled, &key);

	if (!spilled)
		return -1;
	*run = *spilled;
	bpf_map_delete_elem(&http_spilled, &key);
	return 0;
}

/* Whether the state machine has to walk on, once a body has been skipped. */
static __always_inline bool http_walks_on(struct http1_stream *s, struct http1_cursor *cur)
{
	if (cur->at < cur->length && s->state == HTTP1_BODY)
		http1_skip(s, cur);
	return cur->at < cur->length;
}

/*
 * Global functions, which the verifier proves once and on their own: whatever they found out about the
 * window lies in the transfer, and nothing of it multiplies the ways through the callers.
 */
__noinline int http_find_request_head(void)
{
	__u32 key = HTTP_RECEIVE;
	struct http_transfer *transfer = bpf_map_lookup_elem(&http_transfers, &key);

	return transfer ? http1_fast_request(&transfer->head, transfer->window, transfer->cursor.filled) : -1;
}

__noinline int http_find_response_head(void)
{
	__u32 key = HTTP_SEND;
	struct http_transfer *transfer = bpf_map_lookup_elem(&http_transfers, &key);

	return transfer ? http1_fast_response(&transfer->head, transfer->window, transfer->cursor.filled) :
			  -1;
}

/* The requests of a transfer, counted. */
static __always_inline void http_receive(struct task_struct *task, struct http1_connection *conn,
					 struct http_transfer *transfer)
{
	struct http1_cursor *cur = &transfer->cursor;

	http1_begin(&conn->request);
	if (http1_expects_head(&conn->request)) {
		cur->now = bpf_ktime_get_ns();
		if ((cur->filled || http_fill(transfer) > 0) && !http_find_request_head()) {
			http1_take_request(conn, cur, &transfer->head);
			transfer->requests = 1;
		}
	}
	if (http_walks_on(&conn->request, cur)) {
		if (!cur->now)
			cur->now = bpf_ktime_get_ns();
		http_walk_receive(conn, transfer);
	}
	if (transfer->requests)
		http_count_requests(task, transfer->requests);
}

/* Bytes that cannot be seen change nothing within a body: whether there are more, which may mean anything. */
static __always_inline bool http_hides_more(struct http1_stream *s, __u64 length)
{
	struct http1_cursor cur = { .length = length };

	if (s->state == HTTP1_BODY || s->state == HTTP1_CHUNK)
		http1_skip(s, &cur);
	return cur.at < cur.length && s->state != HTTP1_OPAQUE;
}

/* Bytes were received that could not be seen. */
static __always_inline void http_receive_hidden(struct http1_connection *conn, __u64 length)
{
	if (http_hides_more(&conn->request, length))
		http_lose_requests(conn);
}

/* The responses of a transfer, counted. */
static __always_inline void http_send(struct task_struct *task, struct http1_connection *conn,
				      struct http_transfer *transfer)
{
	struct http1_cursor *cur = &transfer->cursor;
	struct http1_exchange exchange = {};

	http1_begin(&conn->response);
	if (http1_expects_head(&conn->response)) {
		cur->now = bpf_ktime_get_ns();
		if (http_fill(transfer) > 0 && !http_find_response_head())
			http_answered(task, http1_take_response(conn, cur, &transfer->head, &exchange),
				      &exchange);
	}
	if (http_walks_on(&conn->response, cur)) {
		if (!cur->now)
			cur->now = bpf_ktime_get_ns();
		http_walk_send(conn, transfer);
	}
}

/* Bytes were sent that cannot be seen. */
static __always_inline void http_send_hidden(struct http1_connection *conn, __u64 length)
{
	http1_begin(&conn->response);
	if (http_hides_more(&conn->response, length))
		http_lose_unreadable_responses(conn);
}

/* Whether a request, or what may stand before one, begins with the first bytes in the window. */
static __always_inline bool http_may_be_request(struct http_transfer *transfer)
{
	__u64 word, filled;
	__u32 i;

	/* The first buffer may be empty, and an iovec has to be read before its bytes are. */
	for (i = 0; i < 4 && !transfer->cursor.filled; i++)
		if (http_fill(transfer) < 0)
			return false;
	filled = transfer->cursor.filled;
	word = http1_word(transfer->window);
	if ((word & 0xff) == '\r' || (word & 0xff) == '\n')
		return true;
	for (i = 0; i < 8 && i < filled; i++, word >>= 8)
		if (!http1_is_token(word))
			return i && (word & 0xff) == ' ';
	return i > 0;
}

/*
 * The first receive of a stream, as far as is known: parsed into a scratch connection, which is worth
 * keeping if it ends within or after a request.
 */
static __always_inline struct http1_connection *http_first_receive(struct task_struct *task,
								   struct http_transfer *transfer)
{
	struct http1_connection *conn;
	__u32 key = 0;

	if (!http_may_be_request(transfer) || http_key_of(task).pid == agent_pid)
		return NULL;
	conn = bpf_map_lookup_elem(&http_scratch, &key);
	if (!conn)
		return NULL;
	transfer->inode = 0;
	http1_init(conn, bpf_ktime_get_ns());
	http_receive(task, conn, transfer);
	return conn->request.state == HTTP1_LOST && !transfer->requests ? NULL : conn;
}

#endif /* CONNECTION_BPF_H */
