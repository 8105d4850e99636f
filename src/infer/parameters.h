/* parameters.h: the names that requests may have. Whatever is not known is an error that names it, for a parameter that
 * nothing reads changes nothing, and its writer believes that it did. */
#ifndef PARAMETERS_H
#define PARAMETERS_H
#include "../io/json.h"

/* Whether every member of a request (or of /set) is a generation parameter, or one of `more` (NULL-terminated, or NULL
 * for none). A parameter of Hugging Face's that is not there may have the value that switches it off. */
bool parameters_known(const json_t *object, const char *const *more, const char *where, Err *err);
/* generation_config.json may have members of any name; those that Hugging Face's generate() would go by and this
 * program does not are refused unless they are switched off. */
bool parameters_of_file(const json_t *object, const char *where, Err *err);
/* Whether `object` has only members of `known` (NULL-terminated); `what` names the object in the message. */
bool members_known(const json_t *object, const char *const *known, const char *where, const char *what, Err *err);
#endif
