/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Integers, by the names that the kernel has for them, where the kernel's types are and on a host. */
#ifndef TYPES_H
#define TYPES_H

#ifdef __bpf__
#include "vmlinux.h"
#else
#include <linux/types.h>
#endif

#ifndef NULL
#define NULL ((void *)0)
#endif

#define HTTP_INLINE inline __attribute__((always_inline))

#endif /* TYPES_H */
