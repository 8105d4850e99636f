/* generation_parameters.c: generation parameters as the header offers them: by the names of requests. */
#include "generation_parameters.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "parameters.h"
#include "search.h"

QmParameters *qm_parameters_new(QmSource *source, QmErr *err) {
    QmParameters *p = mem_new(1, sizeof *p, "parameters", err);
    if (p && generation_defaults(&p->config, source, err)) return p;
    qm_parameters_free(p);
    return NULL;
}

QmParameters *qm_parameters_plain(QmSource *source, QmErr *err) {
    QmParameters *p = qm_parameters_new(source, err);
    if (p) generation_plain(&p->config);
    return p;
}

QmParameters *qm_parameters_copy(const QmParameters *from, QmErr *err) {
    QmParameters *p = mem_new(1, sizeof *p, "parameters", err);
    if (p) generation_config_copy(&p->config, &from->config);
    return p;
}

void qm_parameters_free(QmParameters *p) {
    if (p) generation_config_free(&p->config);
    free(p);
}

/* ---- Setting ----------------------------------------------------------------------------------------------------- */

bool qm_parameters_read(QmParameters *p, const char *json, size_t bytes, const char *const *others, const char *where,
                        QmErr *err) {
    GenerationConfig next = {0};
    json_t *o = json_text(json, bytes, where, err);
    bool ok = o && (json_is_object(o) || err_set(err, "%s: expected an object", where)) &&
              parameters_known(o, others, where, err) && generation_from_json(&next, &p->config, o, where, err) &&
              generation_check(&next, 0, err);
    GenerationConfig before = ok ? p->config : next;
    if (ok) p->config = next;
    generation_config_free(&before);
    json_decref(o);
    return ok;
}

bool qm_parameters_set(QmParameters *p, const char *json, size_t bytes, QmErr *err) {
    return qm_parameters_read(p, json, bytes, NULL, "parameters", err);
}

bool qm_parameters_stop(QmParameters *p, const char *text, size_t bytes, const char *where, QmErr *err) {
    return generation_stop(&p->config, text, bytes, where, err);
}

bool qm_parameters_structure(QmParameters *p, const char *kind, const char *text, size_t bytes, const char *where,
                             QmErr *err) {
    Grammar *g = NULL;
    if (!strcmp(kind, "grammar")) g = grammar_gbnf(text, bytes, err);
    else if (!strcmp(kind, "regex")) g = grammar_regex(text, bytes, err);
    else if (!strcmp(kind, "json_schema")) {
        json_t *schema = json_text(text, bytes, where, err);
        if (!schema) return false;
        g = grammar_json_schema(schema, err);
        json_decref(schema);
    } else return err_as(err, QM_USAGE, "%s: expected grammar, regex or json_schema, got '%.20s'", where, kind);
    return generation_grammar(&p->config, g, where, err);
}

void qm_parameters_chat(QmParameters *p, const QmTokenizer *t) { generation_turn_ends(&p->config, t); }

/* ---- What is in force -------------------------------------------------------------------------------------------- */

typedef struct NumberRow { const char *name; size_t at; enum { WHOLE, REAL, SWITCH } kind; } NumberRow;

#define ROW(field, kind) {#field, offsetof(GenerationConfig, field), kind}
static const NumberRow numbers[] = {
    ROW(max_new_tokens, WHOLE), ROW(max_length, WHOLE), ROW(min_length, WHOLE), ROW(min_new_tokens, WHOLE),
    ROW(max_time, REAL), ROW(do_sample, SWITCH), ROW(temperature, REAL), ROW(top_k, WHOLE), ROW(top_p, REAL),
    ROW(min_p, REAL), ROW(typical_p, REAL), ROW(epsilon_cutoff, REAL), ROW(eta_cutoff, REAL),
    ROW(min_tokens_to_keep, WHOLE), ROW(repetition_penalty, REAL), ROW(encoder_repetition_penalty, REAL),
    ROW(presence_penalty, REAL), ROW(frequency_penalty, REAL), ROW(no_repeat_ngram_size, WHOLE),
    ROW(encoder_no_repeat_ngram_size, WHOLE), ROW(remove_invalid_values, SWITCH), ROW(renormalize_logits, SWITCH),
    ROW(num_beams, WHOLE), ROW(num_beam_groups, WHOLE), ROW(num_return_sequences, WHOLE), ROW(best_of, WHOLE),
    ROW(length_penalty, REAL), ROW(diversity_penalty, REAL), ROW(penalty_alpha, REAL),
    ROW(prompt_lookup_num_tokens, WHOLE), ROW(max_matching_ngram_size, WHOLE), ROW(num_assistant_tokens, WHOLE),
    ROW(logprobs, WHOLE), ROW(prompt_logprobs, WHOLE), ROW(seed, WHOLE),
};

double qm_parameters_number(const QmParameters *p, const char *name) {
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const char *at = (const char *)&p->config + numbers[i].at;
        if (strcmp(numbers[i].name, name)) continue;
        switch (numbers[i].kind) {
        case WHOLE: return (double)*(const int64_t *)(const void *)at;
        case REAL: return *(const double *)(const void *)at;
        case SWITCH: return *(const bool *)at;
        }
    }
    return NAN;
}

char *qm_parameters_text(const QmParameters *p, QmErr *err) {
    Text text = {0};
    generation_text(&p->config, &text);
    if (text_ok(&text, "parameters", err)) return text.data;
    text_free(&text);
    return NULL;
}

int64_t qm_parameters_slots(const QmParameters *p) { return search_slots(&p->config); }
bool qm_parameters_hidden(const QmParameters *p) { return search_hidden(&p->config); }

const char *qm_parameters_search(const QmParameters *p) {
    return search_wanted(&p->config, false) ? search_of(&p->config, false)->name : NULL;
}

bool qm_parameters_check(const QmParameters *p, const QmEngine *engine, QmErr *err) {
    return generation_check(&p->config, qm_engine_info(engine)->vocab, err);
}
