/* server_fingerprint.h: "system_fingerprint": answers with one fingerprint came of the same bytes of a model under the same
 * numeric options, and so have the same bits for the same request. */
#ifndef SERVER_FINGERPRINT_H
#define SERVER_FINGERPRINT_H
#include "server.h"

/* Once the model is open. Files that nobody has hashed yet are read in a thread of their own; answers have no fingerprint
 * until then, but exchanges are saved with one: with --log-requests it is waited for. */
void server_fingerprint_start(Server *s);
void server_fingerprint_end(Server *s); /* before the engine is closed */
#endif
