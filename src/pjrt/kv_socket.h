/* kv_socket.h: addresses of the key-value store. */
#ifndef PJRT_KV_SOCKET_H
#define PJRT_KV_SOCKET_H
#include "../base/base.h"

struct addrinfo;
/* The addresses of "HOST:PORT" or "[HOST]:PORT", to free with freeaddrinfo; NULL on error. */
struct addrinfo *kv_resolve(const char *address, bool passive, Err *err);
#endif
