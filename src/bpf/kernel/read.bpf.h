/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Reading what the kernel has. Kernels differ in what a program may do: which way is taken is a constant that
 * CO-RE puts in at load, so that the verifier drops the other one.
 */
#ifndef READ_BPF_H
#define READ_BPF_H

#include "types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define http_has_helper(name) bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_##name)

/* A field of a kernel structure at any address: directly where the kernel can (6.2), else by a copy. */
#define http_read(pointer, type, field)                                       \
	({                                                                    \
		typeof(((type *)0)->field) value;                             \
		void *structure = (void *)(pointer);                          \
		if (bpf_ksym_exists(bpf_rdonly_cast))                         \
			value = bpf_core_cast(structure, type)->field;        \
		else                                                          \
			BPF_CORE_READ_INTO(&value, (type *)structure, field); \
		value;                                                        \
	})

#endif /* READ_BPF_H */
