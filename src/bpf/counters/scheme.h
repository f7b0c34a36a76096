/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What is added to the version of all that is counted here: nothing. Programs that see into TLS have a header of their own. */
#ifndef SCHEME_H
#define SCHEME_H

#define HTTP_SCHEME 0

#endif /* SCHEME_H */
