/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of BPF as the connection's source needs, on the host: maps are fields of the connection that
 * is being followed, and reading user memory is copying.
 */
#ifndef HOST_BPF_HELPERS_H
#define HOST_BPF_HELPERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <linux/bpf.h>
#include <linux/types.h>

#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, value) __typeof__(value) *name
#define __noinline __attribute__((noinline))
#define barrier_var(variable) __asm__ volatile("" : "+r"(variable))

#define user_msghdr msghdr
#define bpf_probe_read_kernel bpf_probe_read_user

static void *bpf_map_lookup_elem(const void *map, const void *key);
static long bpf_map_update_elem(const void *map, const void *key, const void *value, uint64_t flags);
static long bpf_map_delete_elem(const void *map, const void *key);
static uint64_t bpf_ktime_get_ns(void);
static long bpf_probe_read_user(void *to, uint32_t size, const void *from);

#define bpf_repeat(steps) for (uint32_t step = 0; step < (steps); step++)

#endif /* HOST_BPF_HELPERS_H */
