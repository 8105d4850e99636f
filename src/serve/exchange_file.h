/* exchange_file.h: a request and its answer as a JSON file, with all that is needed to answer it again to the bit: what
 * `serve --log-requests` writes and `replay` reads. One object:
 *
 *   {"format": "qwenmesh exchange 1",
 *    "id": request id, "route": "/v1/chat/completions", "created": seconds since 1970,
 *    "model": name it was asked by, "fingerprint": of qm_engine_fingerprint,
 *    "request": the body as it came, or null,
 *    "runs": [one for each prompt and choice that the route made of it:
 *       {"ids": [the prompt], "parameters": {as qm_parameters_set takes them, the seed in force among them},
 *        "chat": bool, "sequence": N, "adapter": name or null,
 *        "sequences": [best first: {"ids": [new ones], "text", "finish", "proof": 64 hex digits or null}]}]}
 *
 * "runs" alone decide the answer; "request" is for people. Other members are left alone. */
#ifndef EXCHANGE_FILE_H
#define EXCHANGE_FILE_H
#include "../io/json.h"

#define EXCHANGE_FORMAT "qwenmesh exchange 1"
enum { EXCHANGE_MOST_RUNS = 4096, EXCHANGE_MOST_SEQUENCES = 256, EXCHANGE_MOST_BYTES = 256 << 20 };

/* Whoever writes one lets everything point to what is his; of one that was read all belongs to it. */
typedef struct ExchangeRun {
    const int32_t *ids;          /* [count] */
    int64_t count;
    const json_t *parameters;    /* an object */
    bool chat;
    uint64_t sequence;           /* below 2^63 */
    const char *adapter;         /* NULL: none */
    const QmSequence *sequences; /* [sequence_count]: ids, text, finish, proof; text is valid UTF-8 */
    int64_t sequence_count;
} ExchangeRun;

typedef struct ExchangeFile {
    const char *id, *route, *model, *fingerprint;
    int64_t created;
    const json_t *request;       /* NULL: none */
    const ExchangeRun *runs;     /* [run_count] */
    int64_t run_count;
    Arena arena;                 /* of one that was read, as is: */
    json_t *root;
} ExchangeFile;

/* One line, malloc'ed; NULL and an error. */
char *exchange_file_text(const ExchangeFile *file, Err *err);
/* FOLDER/ID.json, whole or not at all; the id's characters must be letters, digits, - and _. */
bool exchange_file_write(const ExchangeFile *file, const char *folder, Err *err);

/* Everything is checked but what only a model knows. To be freed with exchange_file_free, also after failure. */
bool exchange_file_parse(ExchangeFile *file, const char *data, size_t bytes, const char *where, Err *err);
bool exchange_file_read(ExchangeFile *file, const char *path, Err *err);
void exchange_file_free(ExchangeFile *file);
#endif
