/* fuzz_template.c: a template, rendered on values of every kind within small budgets. What comes out must be
 * well-formed UTF-8; its open spans in order, and none of them may hold the word that only data has; generation spans
 * lie inside. */
#include <stdlib.h>
#include <string.h>
#include "../../src/io/json.h"
#include "../../src/text/jinja.h"
#include "../../src/text/unicode.h"

static void check(bool holds) {
    if (!holds) abort();
}

static const char variables[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"\\u9f98 a b\"}, {\"role\": "
                                "\"assistant\", \"content\": null, \"n\": 3}], "
                                "\"s\": \"\\u9f98Ab c\\n\\u00e9 \\u9f98\", \"n\": [3, 1, 2], \"d\": {\"b\": 2, \"A\": "
                                "\"\\u9f98\"}, \"i\": 7, \"f\": -2.5, \"t\": true, \"o\": null, "
                                "\"big\": 123456789012345678901234567890}";
static const char secret[] = "\xE9\xBE\x98"; /* U+9F98, in data alone */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const JinjaLimits limits = {200000, 8 << 20};
    Err err = {0}, why = {0};
    Prompt prompt = {0};
    JinjaVariable list[16];
    size_t count = 0;
    const char *key;
    json_t *value, *root = json_text(variables, strlen(variables), "variables", &err);
    json_object_foreach(root, key, value) list[count++] = (JinjaVariable){key, value, true};
    JinjaTemplate *t = jinja_parse((const char *)data, bytes, &why);
    check(!t == !!why.kind);
    bool ok = t && jinja_render(t, list, count, &limits, &prompt, &why);
    check(ok == !why.kind);
    if (ok) check(utf8_valid((const uint8_t *)prompt.text.data, prompt.text.bytes));
    bool own = memmem(data, bytes, secret, 3) || memmem(data, bytes, "\\", 1) || memmem(data, bytes, "%c", 2) ||
               memmem(data, bytes, "c}", 2);
    for (size_t i = 0, last = 0; i < prompt.open_count; i++) {
        const Span *s = &prompt.open[i];
        check(s->start >= last && s->end > s->start && s->end <= prompt.text.bytes);
        check(own || !memmem(prompt.text.data + s->start, s->end - s->start, secret, 3));
        last = s->end;
    }
    for (size_t i = 0; i < prompt.generation_count; i++)
        check(prompt.generation[i].start <= prompt.generation[i].end && prompt.generation[i].end <= prompt.text.bytes);
    prompt_free(&prompt);
    jinja_free(t);
    json_decref(root);
    return 0;
}
