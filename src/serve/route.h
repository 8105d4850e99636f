/* route.h: a row of the table of routes. Each family of protocols has its rows in a file of its own; routes.c has the list
 * of these tables. */
#ifndef ROUTE_H
#define ROUTE_H
#include "../base/base.h"

/* How a route says that something is wrong. */
typedef enum ErrorForm {
    FORM_OPENAI,    /* {"error": {"message", "type", "param", "code"}}                  */
    FORM_ANTHROPIC, /* {"type": "error", "error": {"type", "message"}, "request_id"}    */
    FORM_OLLAMA     /* {"error": "message"}                                             */
} ErrorForm;

typedef struct Call Call;

typedef struct Route {
    const char *method; /* "GET", which answers HEAD too, or "POST", which has a JSON object as its body */
    const char *path;   /* ending in "/" and a star: the rest is call->rest                              */
    const char *what;   /* of docs/serving.md's table                                                    */
    /* Answers, now or later (job_start). A POST's is called on a worker thread, with call->json; a GET's on the thread of
     * connections, where it must not block. */
    void (*handle)(Call *call);
    ErrorForm form;
    bool open;          /* needs no key                                                                  */
    bool early;         /* answers while the model is opened or the server drains, too                   */
    int64_t body;       /* most bytes; 0: --max-body of a POST, none of a GET                            */
} Route;

/* Tables end with a row without method. The list of tables is routes.c's. */
#endif
