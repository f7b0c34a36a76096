// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Counts the HTTP/1 requests and responses of every process, in the kernel.
 *
 * capture -> (connection, direction, bytes in user memory) -> protocol -> counters
 *
 * Three backends find the same thing, and user space loads the programs of one of them:
 *
 * sock	    The tracepoints sock_recv_length and sock_send_length (Linux 6.3). They fire below every
 *	    receive and send of a socket and of nothing else, so that a read of a file costs nothing.
 *	    State lies in the socket's own storage and goes with it.
 * syscall  The exits of the system calls that move bytes. A hook on all exits at once (tp_btf/sys_exit)
 *	    would be charged to every system call of the host. The price: a file read pays for the look
 *	    at its descriptor, and a tracepoint program may not use socket storage, so that state lies in
 *	    a hash keyed by the socket's inode, where the least recently used connection goes first.
 * fexit    The exits of the functions by which a family of sockets receives and sends. Below the system
 *	    calls, so that transfers by io_uring and by 32-bit tasks count too. Not to be had on locked-down
 *	    kernels.
 *
 * Not chosen: enter and exit of a system call (the registers still hold the arguments at exit, so a
 * second hook and a map buy nothing); kprobes (dearer than what they would replace, and as often absent).
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "connection/count.bpf.h"
#include "counters/processes.bpf.h"
#include "kernel/registers.bpf.h"
#include "kernel/task.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * Run once by user space, on its own behalf: 0 if all that depends on the kernel was found. The agent has its
 * place among the processes before any other can take it.
 */
SEC("raw_tp")
int http_identify(void *ctx)
{
	struct task_struct *task = http_current_task();

	agent_pid = bpf_get_current_pid_tgid() >> 32;
	return !http_process_of(task) || !http_find_registers(task);
}

/* A thread, which is the current one, ends. */
static __always_inline int http_thread_exit(struct task_struct *task)
{
	if (task->signal->live.counter == 0)
		http_mark_exited(task);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(http_process_exit, struct task_struct *task)
{
	return http_thread_exit(task);
}

/* The same where preemption is on in the other one. */
SEC("tracepoint/sched/sched_process_exit")
int http_process_exit_event(void *event)
{
	return http_thread_exit(bpf_get_current_task_btf());
}

/* First what locked-down kernels refuse: programs are loaded in this order. */
#include "capture/fexit.bpf.h"
#include "capture/sock.bpf.h"
#include "capture/syscall.bpf.h"
