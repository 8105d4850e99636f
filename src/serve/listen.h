/* listen.h: the socket that a server listens on. */
#ifndef LISTEN_H
#define LISTEN_H
#include "../base/base.h"

enum { HOST_BYTES = 128 };

bool host_is_path(const char *host);     /* a Unix socket: with a slash, or ending in .sock                      */
/* Whether all addresses of a host are this machine's own loopback; false also where it has none. */
bool host_is_loopback(const char *host);
/* A socket that listens, or -1 and an error. *address is its URL, *unlink_path (malloc'ed) what is to be removed at the
 * end, of a Unix socket. A socket file that nobody listens to any more is replaced. */
int listen_open(const char *host, int port, bool tls, char address[160], char **unlink_path, Err *err);
/* The socket that whoever started this process has opened for it, as systemd does (sd_listen_fds(3)): its number, and its
 * address or path in *host, of *port; 0: there is none; -1: what was given is not one socket that listens.
 * Asked once: it takes the variables away, so that no child takes the socket for its own. */
int listen_given(char host[HOST_BYTES], int *port, Err *err);
/* The URL of a socket that listens, in *address. */
void listen_address(int fd, bool tls, char address[160]);
#endif
