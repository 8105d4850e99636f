/* engine_options.c: see engine_options.h. */
#include "engine_options.h"
#include <string.h>

/* ---- The struct of qwenmesh.h against the list ------------------------------------------------------------------- */

#define C_TEXT const char *
#define C_LINES const char *
#define C_NUMBER int64_t
#define C_FLAG bool
#define FIELD(c, field, type, ...) C_##type field;
typedef struct Listed { size_t size; ENGINE_OPTIONS(FIELD, ) const QmWatch *watch; } Listed;
_Static_assert(sizeof(Listed) == sizeof(QmEngineOptions), "QmEngineOptions has other fields than the list");
_Static_assert(offsetof(QmEngineOptions, size) == 0, "size comes first");
#define SAME_PLACE(c, field, ...)                                                                                      \
    _Static_assert(offsetof(Listed, field) == offsetof(QmEngineOptions, field), #field " stands elsewhere in the list");
ENGINE_OPTIONS(SAME_PLACE, )

#define NUMBER_OF_TEXT(d) 0
#define NUMBER_OF_LINES(d) 0
#define NUMBER_OF_NUMBER(d) d
#define NUMBER_OF_FLAG(d) d
#define TEXT_OF_TEXT(d) d
#define TEXT_OF_LINES(d) d
#define TEXT_OF_NUMBER(d) NULL
#define TEXT_OF_FLAG(d) NULL
#define ROW(c, field, type, standard, known, ...)                                                                      \
    {#field, TYPE_##type, offsetof(QmEngineOptions, field), known, NUMBER_OF_##type(standard), \
     TEXT_OF_##type(standard)},
const EngineOption engine_options[ENGINE_OPTION_COUNT] = {ENGINE_OPTIONS(ROW, )};

/* ---- One option -------------------------------------------------------------------------------------------------- */

void *engine_option_value(const EngineOption *option, const QmEngineOptions *in) {
    return (char *)(uintptr_t)in + option->offset;
}

static bool is_empty(const EngineOption *option, const QmEngineOptions *in) {
    const void *value = engine_option_value(option, in);
    if (option->type == TYPE_TEXT) return !*(const char *const *)value;
    return option->type == TYPE_NUMBER ? !*(const int64_t *)value : !*(const bool *)value;
}

bool engine_option_given(const EngineOption *option, const QmEngineOptions *in) {
    const void *value = engine_option_value(option, in);
    if (is_empty(option, in)) return false;
    if (option->type == TYPE_TEXT) return !option->text || strcmp(*(const char *const *)value, option->text) != 0;
    return option->type == TYPE_FLAG || *(const int64_t *)value != option->number;
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

void qm_engine_options(QmEngineOptions *o) {
    *o = (QmEngineOptions){.size = sizeof *o};
    for (int i = 0; i < ENGINE_OPTION_COUNT; i++) {
        const EngineOption *row = &engine_options[i];
        void *value = engine_option_value(row, o);
        if (row->type == TYPE_TEXT) *(const char **)value = row->text;
        else if (row->type == TYPE_NUMBER) *(int64_t *)value = row->number;
    }
}

bool engine_options_take(QmEngineOptions *to, const QmEngineOptions *given, Err *err) {
    size_t size = given->size;
    *to = (QmEngineOptions){0};
    if (size < offsetof(QmEngineOptions, mesh) || size > 1 << 16)
        return err_as(err, QM_USAGE,
                      "options of the engine: expected them filled by qm_engine_options, got a size of %zu", size);
    for (size_t i = sizeof *to; i < size; i++)
        if (((const uint8_t *)given)[i])
            return err_as(err, QM_USAGE, "options of the engine: expected at most %zu bytes of them, as qwenmesh %s "
                                         "knows, got %zu", sizeof *to, QM_VERSION, size);
    memcpy(to, given, size < sizeof *to ? size : sizeof *to);
    to->size = sizeof *to;
    return true;
}

bool engine_options_known(const QmEngineOptions *o, int backend, const char *name, Err *err) {
    for (int i = 0; i < ENGINE_OPTION_COUNT; i++)
        if (!(engine_options[i].backends & backend) && engine_option_given(&engine_options[i], o))
            return err_as(err, QM_USAGE, "%s: the %s backend has no such option: leave it out", engine_options[i].name,
                          name);
    return true;
}

void engine_options_inherit(QmEngineOptions *o, const QmEngineOptions *base) {
    if (!o->backend && !o->plugin) o->backend = base->backend, o->plugin = base->plugin;
    int backend = o->plugin || (o->backend && !strcmp(o->backend, "pjrt")) ? ON_PJRT : ON_CPU;
    for (int i = 0; i < ENGINE_OPTION_COUNT; i++) {
        const EngineOption *row = &engine_options[i];
        void *to = engine_option_value(row, o), *from = engine_option_value(row, base);
        if (!is_empty(row, o) || !(row->backends & backend) || to == (void *)&o->plugin || to == (void *)&o->backend)
            continue;
        if (row->type == TYPE_TEXT) *(const char **)to = *(const char **)from;
        else if (row->type == TYPE_NUMBER) *(int64_t *)to = *(int64_t *)from;
        else *(bool *)to = *(bool *)from;
    }
}
