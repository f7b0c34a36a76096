/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A call of a function, as the registers have it where a program runs in it: which call it is, and its arguments.
 *
 * A call of C is known by the stack pointer that it had at its entry, which no other call of the process has meanwhile, whatever
 * thread, fibre or signal handler makes it. Go moves stacks, and goroutines from thread to thread: a call is known by its goroutine and the
 * distance from the end of its stack.
 */
#ifndef CALL_BPF_H
#define CALL_BPF_H

#include "kernel/read.bpf.h"
#include "tls/cookie.h"
#include <bpf/bpf_tracing.h>

struct tls_call_key {
	__u64 tgid;
	__u64 goroutine; /* of C: 0 */
	__u64 sp;
};

/* As Go has them since 1.18; and where a goroutine has the end of its stack, which was always there. */
#if defined(__TARGET_ARCH_x86)
#define TLS_GO_ARGUMENT1(regs) ((regs)->ax)
#define TLS_GO_ARGUMENT2(regs) ((regs)->bx)
#define TLS_GO_GOROUTINE(regs) ((regs)->r14)
#elif defined(__TARGET_ARCH_arm64)
#define TLS_GO_ARGUMENT1(regs) (((struct user_pt_regs *)(regs))->regs[0])
#define TLS_GO_ARGUMENT2(regs) (((struct user_pt_regs *)(regs))->regs[1])
#define TLS_GO_GOROUTINE(regs) (((struct user_pt_regs *)(regs))->regs[28])
#endif
#define TLS_GO_STACK_END 8

static __always_inline __u64 tls_process(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

static __always_inline __u32 tls_what(__u64 cookie)
{
	return cookie >> TLS_WHAT_SHIFT & 0xff;
}

/* One of two registers. Both are read, since the verifier allows no choice between places to read from. */
static __always_inline __u64 tls_either(__u64 of_c, __u64 of_go, __u64 cookie)
{
	barrier_var(of_c);
	barrier_var(of_go);
	return cookie & TLS_GO ? of_go : of_c;
}

static __always_inline struct tls_call_key tls_call_key_of(struct pt_regs *regs, __u64 cookie)
{
	struct tls_call_key key = {
		.tgid = tls_process(),
		.goroutine = tls_either(0, TLS_GO_GOROUTINE(regs), cookie),
		.sp = PT_REGS_SP(regs) + (__s64)(__s16)cookie,
	};
	__u64 end = 0;

	if (key.goroutine) {
		bpf_probe_read_user(&end, sizeof(end), (void *)(key.goroutine + TLS_GO_STACK_END));
		key.sp = end - key.sp;
	}
	return key;
}

/* The first argument: a stream. */
static __always_inline __u64 tls_stream_of_call(struct pt_regs *regs, __u64 cookie)
{
	return tls_either(PT_REGS_PARM1(regs), TLS_GO_ARGUMENT1(regs), cookie);
}

static __always_inline __u64 tls_buffer_of_call(struct pt_regs *regs, __u64 cookie)
{
	return tls_either(PT_REGS_PARM2(regs), TLS_GO_ARGUMENT2(regs), cookie);
}

#endif /* CALL_BPF_H */
