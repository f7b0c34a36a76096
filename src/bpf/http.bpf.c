// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Counts the HTTP/1 requests and responses of every process, in the kernel.
 *
 * capture/ finds (connection, direction, bytes in user memory), connection/ asks protocol/ what they mean, and has
 * counters/ count it; kernel/ is what all of them read. docs/architecture.md has the map, docs/kernels.md the reasons.
 *
 * Three backends find the same thing, and user space loads the programs of one of them; those of `sock` serve `fexit`
 * too, where that only takes notes. capture/ has a file for each.
 *
 * Not chosen: enter and exit of a system call (the registers still hold the arguments at exit, so a
 * second hook and a map buy nothing); kprobes (dearer than what they would replace, and as often absent).
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "connection/count.bpf.h"
#include "counters/ended.bpf.h"
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
	struct http_tally tally = {};

	agent_pid = bpf_get_current_pid_tgid() >> 32;
	if (!http_add_last_workload())
		return 1;
	http_settle(task, &tally);
	if (!tally.tgid)
		return 1;
	return !http_find_registers(task);
}

/* A thread, which is the current one, ends. */
static __always_inline int http_thread_exit(struct task_struct *task)
{
	if (task->signal->live.counter == 0)
		http_end_process(task, 0);
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

/* The current task executes another program: it is somebody else from now on. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(http_process_exec, struct task_struct *task)
{
	return http_end_process(task, 1);
}

SEC("tracepoint/sched/sched_process_exec")
int http_process_exec_event(void *event)
{
	return http_end_process(bpf_get_current_task_btf(), 1);
}

/* First what locked-down kernels refuse: programs are loaded in this order. */
#include "capture/fexit.bpf.h"
#include "capture/sock.bpf.h"
#include "capture/syscall.bpf.h"
