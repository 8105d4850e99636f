/* grammar_cache.h: grammars by the text of what asked for them: clients send the same few schemas and tools with every
 * request, a large schema takes a second to build, and requests of one grammar share what is found of it
 * (matchers.h). */
#ifndef GRAMMAR_CACHE_H
#define GRAMMAR_CACHE_H
#include "grammar.h"
#include "parameters.h"

/* What `make` gave for an equal key before, or gives now. The process keeps it, up to a number and a size; errors are
 * not kept. Any thread. NULL without an error where `make` gave so. */
Grammar *grammar_cached(const json_t *key, Grammar *(*make)(void *owner, Err *err), void *owner, Err *err);
/* As grammar_json_schema and grammar_json_object. */
Grammar *grammar_cached_schema(const json_t *schema, Err *err);
Grammar *grammar_cached_object(Err *err);
#endif
