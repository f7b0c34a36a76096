/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Programs at the functions by which a library reads and writes what is within TLS. User space attaches them, each to the spots that
 * it has found in a file; what differs between functions is in the attach cookie (cookie.h).
 *
 * Only the return says what was moved: a write may be partial, or be tried again with the same bytes. So a call that begins is
 * noted, and found again when it ends (call.bpf.h).
 */
#ifndef PROBES_BPF_H
#define PROBES_BPF_H

#include "connection/connection.bpf.h"
#include "connection/storage.bpf.h"
#include "connection/transfer.bpf.h"
#include "counters/visible.bpf.h"
#include "kernel/scratch.bpf.h"
#include "kernel/task.bpf.h"
#include "tls/calls.bpf.h"
#include "tls/cookie.h"
#include <bpf/bpf_tracing.h>

/* A stream at an address, which is one that was not known or begins anew. */
static __noinline struct tls_stream *tls_add(__u64 address)
{
	static const struct tls_stream nothing;
	struct tls_stream_key key = tls_stream_key_of(address);

	if (bpf_map_update_elem(&tls_streams, &key, &nothing, BPF_ANY))
		http_miss(HTTP_MISSED_CONNECTIONS_FULL, 1);
	return bpf_map_lookup_elem(&tls_streams, &key);
}

/* A read or a write begins. */
SEC("uprobe")
int tls_enter(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	struct tls_call call = {
		.stream = tls_stream_of_call(ctx, cookie),
		.buffer = tls_buffer_of_call(ctx, cookie),
		.length_at = PT_REGS_PARM4(ctx),
	};
	struct tls_stream *stream = tls_find(call.stream);
	__u32 kind = tls_what(cookie);
	struct tls_call_key key;
	struct tls_call *noted;
	bool again;

	if (stream && stream->conn.mark == HTTP_NOT_SERVER && !stream->conn.id)
		return 0;
	if (stream && stream->flushes && kind == TLS_WRITE)
		return 0;
	key = tls_call_key_of(ctx, cookie);
	noted = bpf_map_lookup_elem(&tls_calls, &key);
	/*
	 * A call may have been here before: functions of Go begin once more when their stack has been made larger, and a file that is
	 * known by two names may have been attached to twice.
	 */
	again = noted && noted->stream == call.stream && noted->counted;
	call.counted = !!stream;
	if (!tls_note(&key, &call, noted) || !stream)
		return 0;
	if (kind == TLS_FLUSH)
		stream->flushes = true;
	if (!again)
		__sync_fetch_and_add(&stream->calls, 1);
	return 0;
}

/* How many bytes a call has moved that returns. */
static __always_inline __s64 tls_length(struct pt_regs *ctx, const struct tls_call *call, __u32 result)
{
	__s64 length = 0;

	switch (result) {
	case TLS_INT:
		return (__s32)PT_REGS_RC(ctx);
	case TLS_LONG:
	case TLS_NOWHERE:
		return PT_REGS_RC(ctx);
	case TLS_FLAG:
		if ((__s32)PT_REGS_RC(ctx) != 1 ||
		    bpf_probe_read_user(&length, sizeof(length), (void *)call->length_at))
			return 0;
		return length;
	default:
		return 0;
	}
}

/* Whether what a stream receives, of which nobody knows which end it is, shows that it is a client's. */
static __always_inline bool tls_is_answered(const struct tls_stream *stream, struct http_transfer *transfer)
{
	return stream->role == TLS_UNKNOWN && !stream->conn.id && http_fill_first(HTTP_RECEIVE) &&
	       http1_answers(transfer->window, transfer->cursor.filled);
}

/* A stream has received or sent bytes. */
static __always_inline void tls_transferred(const struct tls_call *call, __u64 length,
					    enum http_direction direction)
{
	struct tls_stream *stream = tls_find(call->stream);
	struct http_endpoint endpoint = { .inode = call->stream };
	struct http_transfer *transfer;
	struct http_connection *known;

	if (!stream) {
		http_show_process(http_current_task());
		stream = tls_add(call->stream);
	}
	if (!stream)
		return;
	endpoint.sk = (struct sock *)stream;
	known = http_known_of(&endpoint);
	if (!http_wants(&endpoint, known, direction))
		return;
	transfer = http_transfer_of(direction, length);
	if (!transfer)
		return;
	transfer->inode = call->stream;
	http_set_buffer(transfer, call->buffer, length);
	if (direction == HTTP_RECEIVE && tls_is_answered(stream, transfer)) {
		http_mark_not_server(&endpoint);
		return;
	}
	http_transferred(http_current_task(), &endpoint, http_connection_in(known), transfer, direction);
	if (direction == HTTP_RECEIVE)
		stream->received = true;
}

static __always_inline void tls_forget(__u64 address)
{
	struct tls_stream_key key = tls_stream_key_of(address);

	bpf_map_delete_elem(&tls_streams, &key);
}

/* A call that was counted is over. It may be the last one of a stream that has ended meanwhile. */
static __always_inline void tls_returned(__u64 address)
{
	struct tls_stream *stream = tls_find(address);

	if (stream && __sync_fetch_and_add(&stream->calls, -1) == 1 && stream->ended)
		tls_forget(address);
}

/*
 * A write is over. One that could not be done yet, of which GnuTLS has kept the bytes, may be tried again without a buffer: what that
 * one sends is what the first one was given.
 */
static __always_inline void tls_find_buffer(struct tls_call *call, __s64 length)
{
	struct tls_stream *stream;

	if ((length > 0) == !!call->buffer)
		return;
	stream = tls_find(call->stream);
	if (!stream)
		return;
	if (length > 0)
		call->buffer = stream->put_off;
	else
		stream->put_off = call->buffer;
}

static __always_inline int tls_leave(struct pt_regs *ctx, enum http_direction direction)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__u32 result = tls_what(cookie);
	struct tls_stream *stream;
	struct tls_call call;
	__s64 length;

	if (!tls_take(ctx, cookie, &call))
		return 0;
	length = tls_length(ctx, &call, result);
	if (direction == HTTP_SEND)
		tls_find_buffer(&call, length);
	if (result == TLS_NOTHING) {
		stream = tls_find(call.stream);
		if (stream)
			stream->flushes = false;
	} else if (length > 0 && result == TLS_NOWHERE) {
		http_miss(HTTP_MISSED_UNREADABLE, 1);
	} else if (length > 0 && !tls_claim()) {
		http_miss(HTTP_MISSED_RECURSION, 1);
	} else if (length > 0) {
		tls_transferred(&call, length, direction);
		tls_release();
	}
	if (call.counted)
		tls_returned(call.stream);
	return 0;
}

/* A read is over. */
SEC("uprobe")
int tls_received(struct pt_regs *ctx)
{
	return tls_leave(ctx, HTTP_RECEIVE);
}

/* A write is over. */
SEC("uprobe")
int tls_sent(struct pt_regs *ctx)
{
	return tls_leave(ctx, HTTP_SEND);
}

/* Begins a stream anew. */
static __always_inline void tls_begin(__u64 address, enum tls_role role)
{
	struct tls_stream *stream;

	/* A client's end does not tell by what library its process serves. */
	if (role != TLS_CLIENT)
		http_show_process(http_current_task());
	stream = tls_add(address);
	if (!stream)
		return;
	stream->role = role;
	if (role == TLS_CLIENT)
		stream->conn.mark = HTTP_NOT_SERVER;
}

/* By GnuTLS, in what it is told to make a stream for. */
enum {
	TLS_MADE_FOR_SERVER = 1,
};

/* A stream was made, if all went well, and lies where the first argument of the call leads; the second one says for which end. */
SEC("uprobe")
int tls_made(struct pt_regs *ctx)
{
	struct tls_call call;
	__u64 address = 0;

	if (!tls_take(ctx, bpf_get_attach_cookie(ctx), &call) || (__s32)PT_REGS_RC(ctx) ||
	    bpf_probe_read_user(&address, sizeof(address), (void *)call.stream))
		return 0;
	tls_begin(address, call.buffer & TLS_MADE_FOR_SERVER ? TLS_SERVER : TLS_CLIENT);
	return 0;
}

/* A stream begins or ends. */
SEC("uprobe")
int tls_lives(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__u64 address = tls_stream_of_call(ctx, cookie);
	struct tls_stream *stream;

	switch (tls_what(cookie)) {
	case TLS_ACCEPTS:
		tls_begin(address, TLS_SERVER);
		break;
	case TLS_CONNECTS:
		tls_begin(address, TLS_CLIENT);
		break;
	case TLS_GOES_ON:
		if (!tls_find(address))
			tls_begin(address, TLS_SERVER);
		break;
	case TLS_IS_CLEARED:
		stream = tls_find(address);
		if (stream)
			tls_begin(address, stream->role);
		break;
	case TLS_IS_NO_LONGER:
		stream = tls_find(address);
		/* Go closes what is still being written to by others. */
		if (stream && stream->calls)
			stream->ended = true;
		else
			tls_forget(address);
		break;
	}
	return 0;
}

#endif /* PROBES_BPF_H */
