/* server.h: what all requests share: the opened model, its names, options, state, counts. */
#ifndef SERVER_H
#define SERVER_H
#include <pthread.h>
#include <stdatomic.h>
#include "../io/sentence.h"
#include "auth.h"
#include "serve_call.h"
#include "prometheus.h"

enum { MOST_MODEL_NAMES = 16, MOST_ORIGINS = 16 };

typedef struct ServerOptions {
    HttpdOptions http;               /* its `user` is set by serve()                                           */
    const char *model_path;          /* as it was given; only its last part is ever told                       */
    const char *name[MOST_MODEL_NAMES]; /* --served-model-name; the first is what answers say                  */
    int names;
    bool any_name;                   /* whatever "model" a request has will do                                 */
    const char *origin[MOST_ORIGINS]; /* --cors-origins; "*": all                                              */
    int origins;
    const char *host_names[MOST_ORIGINS]; /* --allowed-hosts: further names that Host may have on loopback      */
    int hosts;
    Keys *keys;
    int64_t queue;                   /* generations that may wait for a slot                                   */
    int64_t max_body;                /* bytes of a request                                                     */
    int64_t prefill_rows;            /* rows of prompts in a step while others decode; -1: the generator's own  */
    double timeout, drain;           /* seconds: of a request in all (0: none), of draining                    */
    int64_t vector_slots;            /* that make vectors beside a generator; 0: it makes none                 */
    bool no_page, no_metrics, log_json;
    const char *exchanges;           /* --log-requests: folder of exchanges that replay reads; NULL: none      */
    FILE *log;                       /* NULL: no log of requests                                               */
} ServerOptions;

/* The model, from SERVER_READY on; all of it stays as it is until the end. */
typedef struct ServerModel {
    QmSource *source;
    QmEngine *engine, *draft;        /* draft: NULL without --draft-model                                      */
    QmTokenizer *tokenizer;
    QmParameters *parameters;        /* the model's own and the command line's: requests go on top of a copy   */
    QmGenerator *generator;          /* NULL: the model has no head for text; takes every free slot            */
} ServerModel;

typedef enum ServerState { SERVER_LOADING, SERVER_READY, SERVER_DRAINING, SERVER_BROKEN } ServerState;

struct Server {
    const ServerOptions *options;
    ServerModel model;
    _Atomic ServerState state;
    Httpd *http;
    Counts counts;                   /* prometheus.h                                                           */
    int64_t started;                 /* seconds of the epoch: "created" of the model                           */
    int64_t slots;                   /* of generation; the engine has those of vectors beside them             */
    struct Jobs *jobs;               /* job.h                                                                  */
    struct Embedder *embedder;       /* embedder.h; NULL: no vectors are made                                  */
    Sentence sentence;               /* how the model's folder makes vectors of texts                          */
    char fingerprint_text[QM_FINGERPRINT_BYTES];
    _Atomic(const char *) fingerprint; /* of qm_engine_fingerprint, once it is known; NULL until then           */
    pthread_t fingerprint_thread;
    bool fingerprint_started;
    bool (*route_name)(int route, const char **method, const char **path); /* of the table, which stands above  */
};

ServerState server_state(const Server *s);
/* The name that answers give: what was asked for, if it is one of ours. NULL after a 404: no such model. `asked` NULL: the
 * first. */
const char *server_model_name(Call *call, const char *asked);
const char *server_name(const Server *s); /* the first */
/* The same where no adapter can be asked for: NULL after a 400. */
const char *server_base_name(Call *call, const char *asked);
/* That name as an adapter of the engine; NULL: it is the model's own. */
const char *server_adapter(const Server *s, const char *name);
#endif
