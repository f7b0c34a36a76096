/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Types shared with user space. They reach Rust through the skeleton's generated types, so each is
 * written down once, here. Keys have no padding: the kernel compares them byte by byte.
 */
#ifndef HTTP_H
#define HTTP_H

#define HTTP_COMM_LEN 16

/* A process for its whole life: a reused pid has another start time, and so is another key. */
struct http_process_key {
	__u64 start_time; /* start_boottime of the thread group's leader, ns */
	__u64 pid;        /* thread group id in the initial pid namespace */
};

struct http_process {
	__u64 requests; /* received, answered or not */
	__u32 exited;   /* its last thread is gone: harvest once more, then delete */
	char comm[HTTP_COMM_LEN];
	__u32 pad;
};

/* Why something was not seen. Each is counted by event, since an unseen event has no request count. */
enum http_missed {
	HTTP_MISSED_PROCESSES_FULL, /* requests of a process that no longer fits in the map */
	HTTP_MISSED_IO_URING,       /* transfers submitted by io_uring: no syscall holds the buffer */
	HTTP_MISSED_KERNEL_THREAD,  /* transfers of kernel threads */
	HTTP_MISSED_COMPAT,         /* transfers of 32-bit tasks */
	HTTP_MISSED_SYSCALL,        /* transfers by a syscall whose buffers are not known */
	HTTP_MISSED_SPLICED,        /* received straight into a pipe: no user buffer */
	HTTP_MISSED_UNREADABLE,     /* the user buffer could not be read */
	HTTP_MISSED_MAX,
};

#endif /* HTTP_H */
