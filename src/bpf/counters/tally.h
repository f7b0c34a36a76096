/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a connection remembers of where it counts. */
#ifndef TALLY_H
#define TALLY_H

#include "types.h"

struct http_tally {
	__u32 tgid;	/* the process that counted at last, if it has a place of its own */
	__u32 process;	/* its place */
	__u32 workload; /* that of its workload, if it has none */
	__u32 series;	/* the place of its last answer */
	__u32 calls;	/* that of its last gRPC call */
	__u16 port;	/* of the server; 0 on a unix socket */
	__u16 pad;
};

#endif /* TALLY_H */
