// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Counts the connections that have state, where that lies in the storage of sockets. It walks the storages and no
 * open files: the cost is that of what is counted, and no file is held open meanwhile.
 *
 * An object of its own, since some kernels refuse iterators over maps: there the programs that count requests have to
 * be loaded all the same, and connection/count.bpf.h counts connections. User space has it use the map of the object that counts.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "connection/connections.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* A byte for each socket that has a connection, and not a mark alone: which kind of one it is. */
SEC("iter/bpf_sk_storage_map")
int http_count_storages(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	const struct http_connection *known = ctx->value;
	char byte;

	if (!known || !known->id)
		return 0;
	byte = http_kind_of(known);
	bpf_seq_write(ctx->meta->seq, &byte, sizeof(byte));
	return 0;
}
