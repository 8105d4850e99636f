/* json_lines.h: commands that answer JSON values line by line: tokenize --jsonl, grammar --jsonl. */
#ifndef JSON_LINES_H
#define JSON_LINES_H
#include <jansson.h>
#include "../base/base.h"

/* Reads standard input and lets `answer` print what belongs to each line's value, which stays ours. An answer is
 * flushed before the next line is read: a program may hold both ends of the pipe. An error names its line and ends
 * it. */
bool json_lines_answer(bool (*answer)(void *context, const json_t *value, Err *err), void *context, Err *err);
#endif
