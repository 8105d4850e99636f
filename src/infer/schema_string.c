/* schema_string.c: what a string may be: patterns, formats, lengths in characters and words, as one automaton over its
 * value; the spelling, with its escapes, is JSON's. */
#include <string.h>
#include "schema.h"

enum { COUNTED_STATES = 24000 };

/* Patterns come again and again. */
const Automaton *schema_pattern(Schema *s, const char *text, size_t bytes) {
    for (const SchemaPattern *p = s->pattern; p; p = p->next)
        if (p->bytes == bytes && !memcmp(p->text, text, bytes)) return p->automaton;
    const Automaton *a = s->b->err->kind ? NULL : automaton_pattern(&s->shop, text, bytes);
    SchemaPattern *p = a ? schema_new(s, 1, sizeof *p) : NULL;
    if (!p) return NULL;
    *p = (SchemaPattern){text, bytes, a, s->pattern};
    s->pattern = p;
    return a;
}

void size_bounds(const Form *form, AtomKind kind, int64_t *least, int64_t *most) {
    *least = 0;
    *most = -1;
    for (const Atom *a = form->atoms; a; a = a->next) {
        if (a->kind != kind) continue;
        if (a->least > *least) *least = a->least;
        if (a->most >= 0 && (*most < 0 || a->most < *most)) *most = a->most;
    }
}

static const Automaton *without_value(Schema *s, const Automaton *all, const json_t *value) {
    if (!json_is_string(value) || json_number_spelling(value)) return all;
    const char *word = json_string_value(value);
    size_t bytes = json_string_length(value);
    return automaton_without(&s->shop, all, automaton_words(&s->shop, &word, &bytes, 1));
}

/* Lengths beside other conditions, where those do not say as much already. */
static const Automaton *with_length(Schema *s, const Automaton *a, int64_t least, int64_t most) {
    int64_t shortest, longest;
    if (!automaton_lengths(&s->shop, a, &shortest, &longest)) return a;
    if (shortest >= least && (most < 0 || (longest >= 0 && longest <= most))) return a;
    if (longest >= 0 && (most < 0 || longest < most)) most = longest;
    /* long ones would take too many states: shorter ones, which lets nothing wrong through */
    int64_t room = COUNTED_STATES / a->states;
    if (most > room && room >= 1000 && room >= 2 * least) most = room;
    return automaton_both(&s->shop, a, automaton_length(&s->shop, least, most));
}

const Automaton *string_automaton(Schema *s, const Form *form, bool *plain, int64_t *least, int64_t *most) {
    const Automaton *all = NULL;
    size_bounds(form, ATOM_LENGTH, least, most);
    for (const Atom *a = form->atoms; a; a = a->next)
        if (a->kind == ATOM_WORD) all = all ? automaton_both(&s->shop, all, a->automaton) : a->automaton;
    for (const Atom *a = form->atoms; a && !s->b->err->kind; a = a->next) {
        bool word = a->kind == ATOM_NOT_WORD, one = a->kind == ATOM_NOT_CONST && json_is_string(a->value);
        if (!word && !one && a->kind != ATOM_NOT_ENUM) continue;
        if (!all) all = automaton_any(&s->shop);
        if (word) all = automaton_without(&s->shop, all, a->automaton);
        if (one) all = without_value(s, all, a->value);
        for (size_t i = 0; a->kind == ATOM_NOT_ENUM && i < json_array_size(a->value); i++)
            all = without_value(s, all, json_array_get(a->value, i));
    }
    *plain = all == NULL;
    return all && (*least > 0 || *most >= 0) ? with_length(s, all, *least, *most) : all;
}

/* Who spoke of strings first: for messages. */
static bool string_refused(Schema *s, const Form *form) {
    for (const Atom *a = form->atoms; a; a = a->next) {
        if (a->kind == ATOM_LENGTH)
            return schema_refused(s, a->holder->schema, a->most >= 0 ? "maxLength" : "minLength");
        if (a->kind == ATOM_WORD) return schema_refused(s, a->holder->schema, a->strict ? "format" : "pattern");
    }
    return false;
}

int string_expr(Schema *s, const Form *form) {
    bool plain;
    int64_t least, most;
    Builder *b = s->b;
    const Automaton *a = string_automaton(s, form, &plain, &least, &most);
    if (b->err->kind) return string_refused(s, form), -1;
    if (plain && least == 0 && most < 0) return s->rule.string;
    int quote = text_of(s, "\"");
    if (!plain) return then3(b, quote, builder_automaton(b, a, true), quote);
    if (most >= 0 && least > most) return builder_never(b);
    int body = builder_repeat(b, s->rule.character, least, most);
    if (b->err->kind) string_refused(s, form);
    return then3(b, quote, body, quote);
}
