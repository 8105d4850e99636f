/* render.h: chat templates without a model: `tokenize --render --jsonl`. */
#ifndef RENDER_H
#define RENDER_H
#include "../base/base.h"

/* Standard input to standard output: lines {"messages", "tools", "documents", "variables"} to lines {"text"} or
 * {"error"}, as transformers renders them. `generation`: with the spans of generation blocks, in characters. */
bool render_lines(const QmTemplate *chat, bool generation, Err *err);
#endif
