/* serve.h: a server from its beginning to its end. */
#ifndef SERVE_H
#define SERVE_H
#include "server.h"

/* Opens what `out` has, but for the generator; called once, on the thread that called serve() and runs the steps. False
 * and an error. What it opened is closed by whoever called serve(), after it. */
typedef bool (*ModelOpen)(void *owner, ServerModel *out, Err *err);

/* Listens at once, opens the model, and serves until SIGTERM or SIGINT has drained it: no new connections, requests that
 * are under way are ended, or cut when --drain is over; a second signal ends them now. A signal while the model is being
 * opened ends the program. False and an error: it could not listen, open the model, or the engine failed for good.
 * Before any other thread is started. */
bool serve(const ServerOptions *options, ModelOpen open, void *owner, Err *err);
#endif
