/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How many connections have state. */
#ifndef COUNT_BPF_H
#define COUNT_BPF_H

#include "connection/end.bpf.h"
#include "connection/storage.bpf.h"
#include "kernel/file.bpf.h"

/*
 * A byte for each connection that has state: user space counts them, walking the open files of all tasks.
 * Some of those share a socket, so that the connection notes the number of the walk. An iterator
 * over a map's elements would do without, but some locked-down kernels refuse it.
 *
 * The first walk marks the unix sockets that may be older than the agent, too.
 */
SEC("iter/task_file")
int http_count_connections(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct http_endpoint endpoint = {};
	struct http_connection *known, *conn;
	struct socket *socket;
	__u16 walk = ctx->meta->session_id % 0xffff + 1;
	char byte = 0;

	if (!file || !http_is_socket(file->f_inode->i_mode))
		return 0;
	if (http_in_storage) {
		socket = bpf_sock_from_file(file);
		if (!socket || !socket->sk)
			return 0;
		endpoint.sk = socket->sk;
	} else {
		endpoint.inode = file->f_inode->i_ino;
	}
	known = http_known_of(&endpoint);
	if (http_in_storage && !http_old_sockets_known && !known)
		http_mark_joined(&endpoint);
	conn = http_connection_in(known);
	if (conn && conn->counted_by != walk) {
		conn->counted_by = walk;
		bpf_seq_write(ctx->meta->seq, &byte, sizeof(byte));
	}
	return 0;
}

#endif /* COUNT_BPF_H */
