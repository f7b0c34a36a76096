/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The storage of sockets that connections lie in, for the object that counts requests and for the one that counts connections. */
#ifndef CONNECTIONS_BPF_H
#define CONNECTIONS_BPF_H

#include "connection/state.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct http_connection);
} http_connections SEC(".maps");

#endif /* CONNECTIONS_BPF_H */
