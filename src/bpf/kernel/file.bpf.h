/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* From the current task's descriptors to the sockets behind them. */
#ifndef FILE_BPF_H
#define FILE_BPF_H

#include "kernel/read.bpf.h"
#include "kernel/socket.bpf.h"
#include "kernel/task.bpf.h"

enum {
	HTTP_S_IFMT = 0170000,
	HTTP_S_IFSOCK = 0140000,
};

static __always_inline bool http_is_socket(__u16 mode)
{
	return (mode & HTTP_S_IFMT) == HTTP_S_IFSOCK;
}

/* Where the file table of a task holds a descriptor; NULL if it cannot. */
static __always_inline struct file **http_descriptor(struct task_struct *task, __u32 fd)
{
	struct fdtable *table;

	if (http_has_helper(get_current_task_btf)) {
		table = http_task_field(task, files)->fdt;
		return fd < table->max_fds ? table->fd + fd : NULL;
	}
	table = BPF_CORE_READ(task, files, fdt);
	return fd < BPF_CORE_READ(table, max_fds) ? BPF_CORE_READ(table, fd) + fd : NULL;
}

/* The socket behind a descriptor; without an inode if it is no stream socket. */
static __always_inline struct http_endpoint http_endpoint_of(struct task_struct *task, int fd)
{
	struct file **descriptor = http_descriptor(task, fd);
	struct http_endpoint endpoint = {};
	struct socket *socket;
	struct inode *inode;
	void *file;

	if (!descriptor)
		return endpoint;
	/* Any kernel structure that begins with a pointer reads a pointer. */
	file = http_read(descriptor, struct llist_head, first);
	inode = http_read(file, struct file, f_inode);
	if (!http_is_socket(http_read(inode, struct inode, i_mode)))
		return endpoint;
	socket = http_read(file, struct file, private_data);
	endpoint.sk = http_read(socket, struct socket, sk);
	if (http_is_stream(http_read(socket, struct socket, type),
			   http_read(endpoint.sk, struct sock, __sk_common.skc_family)))
		endpoint.inode = http_read(inode, struct inode, i_ino);
	return endpoint;
}

#endif /* FILE_BPF_H */
