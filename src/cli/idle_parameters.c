/* idle_parameters.c: see idle_parameters.h. */
#include "idle_parameters.h"
#include <stdbool.h>
#include <string.h>

const char *idle_unsampled(const json_t *object) {
    static const struct { const char *name; double off; } drawn[] = {
        {"temperature", 1}, {"top_p", 1}, {"top_k", 0}, {"min_p", 0}, {"typical_p", 1}, {"epsilon_cutoff", 0},
        {"eta_cutoff", 0},
    };
    const json_t *temperature = json_object_get(object, "temperature");
    if (json_is_number(temperature) && json_number_value(temperature) == 0) return NULL; /* greedy is what was meant */
    for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++) {
        const json_t *value = json_object_get(object, drawn[i].name);
        if (!strcmp(drawn[i].name, "top_k") && json_object_get(object, "penalty_alpha")) continue; /* both are used */
        if (json_is_number(value) && json_number_value(value) != drawn[i].off) return drawn[i].name;
    }
    return NULL;
}

const char *idle_unbeamed(const json_t *object) {
    static const char *const of_beams[] = {"length_penalty", "diversity_penalty", "early_stopping"};
    static const double off[] = {1, 0, 0};
    for (size_t i = 0; i < sizeof of_beams / sizeof *of_beams; i++) {
        const json_t *value = json_object_get(object, of_beams[i]);
        bool switched_off = !value || json_is_null(value) || json_is_false(value) ||
                            (json_is_number(value) && json_number_value(value) == off[i]);
        if (!switched_off) return of_beams[i];
    }
    return NULL;
}
