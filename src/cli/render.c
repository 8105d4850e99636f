/* render.c: see render.h. */
#include <stdlib.h>
#include <string.h>
#include "../io/json_python.h"
#include "json_lines.h"
#include "render.h"

typedef struct Render { const QmTemplate *chat; bool generation; } Render;

/* An error of the template, or of a line that is no request, is the line's answer. */
static bool render_line(void *context, const json_t *line, Err *err) {
    const Render *r = context;
    Err why = {0};
    Text out = {0};
    QmSpan *spans = NULL;
    size_t bytes = 0, count = 0;
    char *json = json_dump(line, JSON_COMPACT | JSON_ENCODE_ANY, "messages", &why);
    char *text = json ? qm_template_render(r->chat, json, strlen(json), &bytes, &spans, &count, &why) : NULL;
    bool ok = text || why.kind != QM_MEMORY || err_from(err, &why);
    text_add(&out, text ? "{\"text\": " : "{\"error\": ", text ? 9 : 10);
    if (text) python_json_text(text, bytes, &out);
    else python_json_text(why.text, strlen(why.text), &out);
    if (text && r->generation) {
        text_add(&out, ", \"generation\": [", 17);
        for (size_t i = 0; i < count; i++)
            text_line(&out, "%s[%zu, %zu]", i ? ", " : "", spans[i].start, spans[i].end);
        text_add(&out, "]", 1);
    }
    text_add(&out, "}\n", 2);
    ok = ok && text_ok(&out, "rendered text", err) && file_put(stdout, out.data, out.bytes, "standard output", err);
    text_free(&out);
    free(spans);
    free(text);
    free(json);
    return ok;
}

bool render_lines(const QmTemplate *chat, bool generation, Err *err) {
    Render r = {chat, generation};
    return json_lines_answer(render_line, &r, err);
}
