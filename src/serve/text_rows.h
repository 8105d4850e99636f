/* text_rows.h: requests that the embedder answers: texts in, a row of numbers for each out, an answer made of them. */
#ifndef TEXT_ROWS_H
#define TEXT_ROWS_H
#include "chat_request.h"
#include "embedder.h"
#include "server.h"

typedef struct TextRows {
    Call *call;
    EmbedWork *work;
    void (*answer)(struct TextRows *rows, EmbedWork *work); /* by the embedder's thread: it replies */
} TextRows;

/* A zeroed struct of `bytes`, which begins with a TextRows. `output`: of the model. */
TextRows *text_rows_new(Call *call, size_t bytes, int64_t texts, const char *output,
                        void (*answer)(TextRows *rows, EmbedWork *work), Err *err);
/* Text `i` has n ids, in work->ids[i]; n < 0: err is set. Refuses none, and more than the context. `param`: whose they
 * are. */
bool text_rows_take(TextRows *rows, ChatRequest *r, const char *param, int64_t i, int64_t n, Err *err);
/* Appends an id. Returns how many there are, -1 and an error. */
int64_t text_rows_end(int32_t **ids, int64_t n, int32_t end, Err *err);
/* Takes `rows` (or NULL) to the embedder; where that cannot be, or !ok, it has answered. */
void text_rows_start(Call *call, TextRows *rows, bool ok, const Err *err, const char *param);
#endif
