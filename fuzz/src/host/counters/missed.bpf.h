/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOST_MISSED_BPF_H
#define HOST_MISSED_BPF_H

#include "http.h"

static void http_miss(enum http_reason reason, __u64 n);

#endif /* HOST_MISSED_BPF_H */
