/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOST_UNSEEN_BPF_H
#define HOST_UNSEEN_BPF_H

#include "http.h"

static int http_greeted_tls(__u16 port);
static int http_joined_tls(void);

#endif /* HOST_UNSEEN_BPF_H */
