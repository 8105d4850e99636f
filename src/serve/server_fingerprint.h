/* server_fingerprint.h: what "system_fingerprint" is: answers with one fingerprint came of the same model under the same
 * numeric options, and so have the same bits for the same request. */
#ifndef SERVER_FINGERPRINT_H
#define SERVER_FINGERPRINT_H
#include "server.h"

void server_fingerprint_set(Server *s); /* once the model is open */
#endif
