/* access_log.h: a line for each request: who, which route, how it ended, tokens and times; never a prompt or an answer. */
#ifndef ACCESS_LOG_H
#define ACCESS_LOG_H
#include "server.h"

/* Written at once, whole; nothing where the server has no log. */
void access_log(const Server *s, const Call *call);
/* A line about the server itself: "ready", "draining"; in the form of the others. */
void server_log(const Server *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif
