/* listen.h: the socket that a server listens on. */
#ifndef LISTEN_H
#define LISTEN_H
#include "../base/base.h"

bool host_is_path(const char *host);     /* a Unix socket: with a slash, or ending in .sock                      */
/* Whether all addresses of a host are this machine's own loopback; false also where it has none. */
bool host_is_loopback(const char *host);
/* A socket that listens, or -1 and an error. *address is its URL, *unlink_path (malloc'ed) what is to be removed at the
 * end, of a Unix socket. A socket file that nobody listens to any more is replaced. */
int listen_open(const char *host, int port, bool tls, char address[160], char **unlink_path, Err *err);
#endif
