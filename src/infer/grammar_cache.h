/* grammar_cache.h: grammars of schemas, by the schema's text: clients send the same few with every request, and a large
 * one takes a second to build. */
#ifndef GRAMMAR_CACHE_H
#define GRAMMAR_CACHE_H
#include "grammar.h"
#include "parameters.h"

/* As grammar_json_schema and grammar_json_object; the process keeps what they gave, up to a number and a size. Any
 * thread. */
Grammar *grammar_cached_schema(const json_t *schema, Err *err);
Grammar *grammar_cached_object(Err *err);
#endif
