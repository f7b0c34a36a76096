/* SPDX-License-Identifier: Apache-2.0 */
/* The one connection, as if its state lay in a hash, so that what older kernels run is what is tried. */
#ifndef HOST_STORAGE_BPF_H
#define HOST_STORAGE_BPF_H

#include "connection/state.h"
#include "kernel/socket.bpf.h"

static const bool http_in_storage;

static struct http_connection *http_connection_by_inode(__u64 inode);
static struct http_connection *http_scratch_connection(void);

static struct http_connection *http_connection_of(const struct http_endpoint *endpoint)
{
	return http_connection_by_inode(endpoint->inode);
}

static void http_keep_connection(const struct http_endpoint *endpoint, const struct http_connection *conn);

#endif /* HOST_STORAGE_BPF_H */
