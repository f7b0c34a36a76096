/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* All that is counted here came by TLS. */
#ifndef SCHEME_H
#define SCHEME_H

#include "http.h"

#define HTTP_SCHEME HTTP_OVER_TLS

#endif /* SCHEME_H */
