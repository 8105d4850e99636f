/* openai_routes.h: the handlers of OpenAI's routes, file by file. */
#ifndef OPENAI_ROUTES_H
#define OPENAI_ROUTES_H
#include "serve_call.h"


/* tokenize_routes.c */
void tokenize(Call *call);
void detokenize(Call *call);
void apply_template(Call *call);
void tokenizer_info(Call *call);
/* tokenize_routes.c: the model's own chat template, a text or a list of such; json_null: it has none. */
json_t *template_json(QmSource *source, Err *err);
/* embedding_routes.c */
void embeddings(Call *call);
/* rerank_routes.c */
void rerank(Call *call);
void score(Call *call);
#endif
