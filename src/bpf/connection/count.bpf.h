/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How many connections have state. */
#ifndef COUNT_BPF_H
#define COUNT_BPF_H

#include "connection/end.bpf.h"
#include "connection/storage.bpf.h"
#include "kernel/file.bpf.h"

/*
 * What a file is, if it is a socket whose connection has state that this walk has not met. Some files share a socket, so that
 * the connection notes the number of the walk.
 */
static __always_inline enum http_connection_kind http_uncounted(struct file *file, __u16 walk)
{
	struct http_endpoint endpoint = {};
	struct http_connection *known, *conn;
	struct socket *socket;

	if (!http_is_socket(file->f_inode->i_mode))
		return HTTP_KIND_NONE;
	if (http_in_storage) {
		socket = bpf_sock_from_file(file);
		if (!socket || !socket->sk)
			return HTTP_KIND_NONE;
		endpoint.sk = socket->sk;
	} else {
		endpoint.inode = file->f_inode->i_ino;
	}
	known = http_known_of(&endpoint);
	if (http_in_storage && !http_old_sockets_known && !known)
		http_mark_joined(&endpoint);
	conn = http_connection_in(known);
	if (!conn || conn->counted_by == walk)
		return HTTP_KIND_NONE;
	conn->counted_by = walk;
	return http_kind_of(conn);
}

/*
 * Walks the open files of all tasks. A byte for each of them, which user space counts: of which kind the connection is. All others
 * have one, too, so that what reads them comes back from the kernel every few thousand files. A file that its owner closes
 * while the walk is at it is not released before.
 *
 * The first walk marks the unix sockets that may be older than the agent. Where state lies in storage, and the kernel
 * allows it, connections.bpf.c makes those that follow.
 */
SEC("iter/task_file")
int http_count_connections(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	char byte;

	if (!file)
		return 0;
	byte = http_uncounted(file, ctx->meta->session_id % 0xffff + 1);
	bpf_seq_write(ctx->meta->seq, &byte, sizeof(byte));
	return 0;
}

#endif /* COUNT_BPF_H */
