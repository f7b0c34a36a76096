/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Types shared with user space. They reach Rust through the skeleton's generated types, so each is
 * written down once, here. Keys have no padding: the kernel compares them byte by byte.
 */
#ifndef HTTP_H
#define HTTP_H

#include "types.h"

#define HTTP_COMM_LEN 16

enum {
	HTTP_SPANS = 16, /* of durations, each four times as long as the one before */
	HTTP_SPAN_BUCKETS = 40,
	HTTP_SPAN_PLACES = 64, /* for buckets, and for parts of a span of the same length */
	HTTP_COARSE_BUCKETS = 20,
	HTTP_SHARDS = 4,    /* groups of CPUs that count apart; a power of two */
	HTTP_SHARES = 1024, /* groups of users, of which each has its share of the tables; a power of two */
	HTTP_KINDS = 64,    /* of answers that an owner has series for; all others of its are one */
	HTTP_EXECUTABLE_LEN = 64,
	HTTP_CGROUP_LEN = 512,
};

/* The methods of RFC 9110 and PATCH. All others are one, so that there are few. */
enum http_method {
	HTTP_METHOD_OTHER,
	HTTP_METHOD_CONNECT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_PATCH,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_TRACE,
	HTTP_METHOD_UNKNOWN, /* HTTP/2: it was indexed before the connection was seen */
	HTTP_METHOD_GRPC,    /* of what is no answer: the end of a gRPC call */
} __attribute__((packed));

/* In place of a status. No server sends one that low. */
#define HTTP_STATUS_UNKNOWN 1 /* as HTTP_METHOD_UNKNOWN */
/* A gRPC call's has its own number, one more than that, so that none is 0. */
#define HTTP_GRPC_STATUS(code) ((code) + 1)

#define HTTP_NO_METHOD ((enum http_method)0xff) /* of what is no answer: the n-th kind of an owner */

enum http_version {
	HTTP_VERSION_1_0,
	HTTP_VERSION_1_1, /* and any later 1.x */
	HTTP_VERSION_2,
} __attribute__((packed));

#define HTTP_OVER_TLS 0x80 /* beside the version in a series' key */

/* Whose requests and answers are counted together: a process or a workload. */
struct http_owner_key {
	/* Of a process: start_boottime of the thread group's leader, in ns, but for the lowest byte, which counts the
	 * programs that it has executed. So a reused pid is another one, and so is what takes over. Of a workload: when
	 * it was first seen. */
	__u64 start_time;
	__u64 pid; /* thread group id in the initial pid namespace; of a workload 0 */
};

#define HTTP_EXECS 0xffULL /* where in start_time the programs are counted */

/* What a group of CPUs has counted; user space adds the groups up. Each has cache lines of its own. */
struct http_requests {
	struct http_owner_key key; /* whose they are */
	__u64 count;		   /* received, answered or not */
	__u64 pad[5];
};

struct http_owner {
	struct http_requests requests[HTTP_SHARDS];
	struct http_owner_key key;
	__u32 kinds;	  /* of answers that it has series for, but for the one of all others */
	__u32 share;	  /* what it takes comes out of this one */
	__u64 unlisted;	  /* of a workload: requests of processes for which there was no room */
	__u64 tls_unseen; /* connections of TLS that cannot be seen into */
};

struct http_process {
	struct http_owner owner;
	__u32 workload; /* its place */
	__u32 ended;	/* it has exited or executes another program: harvest once more, then clear */
};

/* Who a process is, taken when its entry is made. */
struct http_identity {
	__u64 cgroup; /* the number of its control group in the hierarchy that was chosen */
	char executable[HTTP_EXECUTABLE_LEN]; /* the file's name, cut; empty where there is none */
	char cgroup_names
		[HTTP_CGROUP_LEN]; /* from the group outwards, each ended by a zero; an empty one is the end */
};

/* An executable in a control group: what an identity begins with. */
struct http_workload_key {
	__u64 cgroup;
	char executable
		[HTTP_EXECUTABLE_LEN]; /* empty: of all for which this control group has no more room */
};

/*
 * Has counted what its processes have that ended before user space knew of them, and those for which there is no room.
 * What its other processes count is theirs.
 */
struct http_workload {
	struct http_owner owner;
	__u64 port; /* on which the first of its processes was asked; 0 for a unix socket */
	struct http_identity identity;
};

/* Requests of one owner that had the same kind of answer. */
struct http_series_key {
	__u64 start_time;
	__u32 pid;
	__u16 status;
	enum http_method method;
	enum http_version version; /* of the request */
};

/* Each group of CPUs has a cache line of its own. */
struct http_durations {
	struct http_series_key key; /* whose they are */
	__u64 sum;		    /* ns; at least one for each, so that it tells whether any came */
	__u64 pad[5];
};

struct http_series {
	struct http_durations durations[HTTP_SHARDS];
	__u32 spans[HTTP_SPANS];	   /* where the buckets are; 0 if there are none yet */
	__u32 coarse[HTTP_COARSE_BUCKETS]; /* of durations for which there was no room in spans */
	__u32 share;			   /* which spans are taken out of */
	__u32 pad[3];
};

/* Buckets for a part of all durations. User space takes the counts out. */
struct http_span {
	__u32 buckets[HTTP_SPAN_BUCKETS];
};

/* A process to look into, for it serves TLS. */
struct tls_wanted {
	__u32 pid;
	__u32 parent; /* which may have the same libraries, where a process does not live as long as one looks */
};

/* What tables have places for. */
enum http_resource {
	HTTP_PROCESSES,
	HTTP_WORKLOADS,
	HTTP_SERIES,
	HTTP_SPAN,
	HTTP_RESOURCES,
};

/* How many places some users hold. */
struct http_share {
	__u64 held[HTTP_RESOURCES];
};

/* Why something was not seen or not counted. */
enum http_reason {
	HTTP_MISSED_PROCESSES_FULL, /* requests that count for their workload alone: their process has no place */
	HTTP_MISSED_SERIES_FULL, /* responses whose kind has no place: counted with all others of their owner, if at all */
	HTTP_MISSED_CONNECTIONS_FULL, /* connections for which no state could be made */
	HTTP_MISSED_UNMATCHED,	      /* responses that answer no request that was seen */
	HTTP_MISSED_REQUESTS_LOST,  /* times that the requests of a connection could no longer be followed */
	HTTP_MISSED_RESPONSES_LOST, /* the same of its responses */
	HTTP_MISSED_UNBOUNDED,	/* requests that came after an answer without a length: theirs are not seen */
	HTTP_MISSED_TOO_LONG,	/* times that following a transfer would have taken the CPU for too long */
	HTTP_MISSED_UNREADABLE, /* transfers whose user buffer could not be read */
	HTTP_MISSED_IO_URING,	/* transfers by io_uring: no system call holds the buffer */
	HTTP_MISSED_KERNEL_THREAD,  /* transfers of kernel threads */
	HTTP_MISSED_COMPAT,	    /* transfers of 32-bit tasks */
	HTTP_MISSED_SYSCALL,	    /* transfers by a system call whose buffers are not known */
	HTTP_MISSED_RECURSION,	    /* runs of our programs that the kernel skipped: it counts them itself */
	HTTP_MISSED_CANCELLED,	    /* streams of HTTP/2 that the client gave up before they were answered */
	HTTP_MISSED_RESET,	    /* streams that the server gave up */
	HTTP_MISSED_STREAMS_FULL,   /* streams for which there was no room: their answers are not seen */
	HTTP_MISSED_JOINED_LATE,    /* blocks with what was indexed before the connection was seen */
	HTTP_MISSED_HPACK_TABLE,    /* blocks with what was indexed too long ago to be remembered */
	HTTP_MISSED_TLS_UNSEEN,	    /* connections of TLS that cannot be seen into */
	HTTP_MISSED_TLS_CALLS_FULL, /* reads and writes within TLS that could not be noted */
	HTTP_REASONS,
};

#endif /* HTTP_H */
