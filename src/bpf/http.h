/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Types shared with user space. They reach Rust through the skeleton's generated types, so each is
 * written down once, here. Keys have no padding: the kernel compares them byte by byte.
 */
#ifndef HTTP_H
#define HTTP_H

#define HTTP_COMM_LEN 16

enum {
	HTTP_BOUNDS = 19, /* upper bounds of duration buckets */
	HTTP_SHARDS = 4,  /* groups of CPUs that count apart; a power of two */
};

/* A process for its whole life: a reused pid has another start time, and so is another key. */
struct http_process_key {
	__u64 start_time; /* start_boottime of the thread group's leader, ns */
	__u64 pid;	  /* thread group id in the initial pid namespace */
};

/* What a group of CPUs has counted; user space adds the groups up. Each has cache lines of its own. */
struct http_requests {
	__u64 count; /* received, answered or not */
	__u64 pad[7];
};

struct http_process {
	struct http_requests requests[HTTP_SHARDS];
	__u32 exited; /* its last thread is gone: harvest once more, then delete */
	char comm[HTTP_COMM_LEN];
	__u32 pad;
};

/* Requests of one process that had the same kind of answer. */
struct http_series_key {
	__u64 start_time;
	__u64 method; /* as text, its first character in the lowest byte; 0 for all but the standard ones */
	__u32 pid;
	__u16 status;
	__u16 minor; /* of HTTP/1.x */
};

struct http_durations {
	__u64 sum; /* ns */
	__u64 buckets[HTTP_BOUNDS + 1];
	__u64 pad[3];
};

struct http_series {
	struct http_durations durations[HTTP_SHARDS];
};

/* What was not seen or not counted, by reason. */
struct http_missed {
	__u64 processes_full;	/* requests of a process that no longer fits in the map */
	__u64 series_full;	/* responses of a series that no longer fits in the map */
	__u64 connections_full; /* connections for which no state could be made */
	__u64 unmatched;	/* responses that answer no request that was seen */
	__u64 requests_lost;	/* times that the requests of a connection could no longer be followed */
	__u64 responses_lost;	/* the same of its responses */
	__u64 unreadable;	/* transfers whose user buffer could not be read */
	__u64 io_uring;		/* transfers by io_uring: no system call holds the buffer */
	__u64 kernel_thread;	/* transfers of kernel threads */
	__u64 compat;		/* transfers of 32-bit tasks */
	__u64 syscall;		/* transfers by a system call whose buffers are not known */
};

#endif /* HTTP_H */
