/* idle_parameters.h: parameters of a request that change nothing, because another one is missing: their writer believes
 * that they do. */
#ifndef IDLE_PARAMETERS_H
#define IDLE_PARAMETERS_H
#include <jansson.h>

/* One that needs do_sample, when it is off: NULL, or its name. */
const char *idle_unsampled(const json_t *request);
/* One that needs num_beams above 1, when there is one beam: NULL, or its name. */
const char *idle_unbeamed(const json_t *request);
#endif
