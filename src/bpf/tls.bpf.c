// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Counts the requests and responses within TLS, where a library hands them over. The rooms are those of http.bpf.c, and so are the
 * tables of counters, which user space has this object use. What is a socket there is a stream of a library here: tls/instead/ has
 * the headers that say so, in the place of others.
 *
 * An object of its own, loaded when there is something to see: most hosts pay nothing for it, and what the programs at sockets
 * cost does not hang on it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "tls/probes.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
