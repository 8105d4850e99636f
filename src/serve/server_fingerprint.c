/* server_fingerprint.c: see server_fingerprint.h. */
#include "server_fingerprint.h"
#include "access_log.h"

static void *find(void *owner) {
    Server *s = owner;
    Err err = {0};
    if (qm_engine_fingerprint(s->model.engine, s->fingerprint_text, &err))
        atomic_store(&s->fingerprint, s->fingerprint_text);
    else server_log(s, "error: answers have no fingerprint: %s", err.text);
    return NULL;
}

void server_fingerprint_start(Server *s) {
    if (s->options->exchanges) find(s);
    else s->fingerprint_started = pthread_create(&s->fingerprint_thread, NULL, find, s) == 0;
}

void server_fingerprint_end(Server *s) {
    if (s->fingerprint_started) pthread_join(s->fingerprint_thread, NULL);
}
