/* render.c: see render.h. */
#include <string.h>
#include "../io/json_python.h"
#include "json_lines.h"
#include "render.h"

typedef struct Render { const ChatTemplate *chat; bool generation; } Render;

/* An error of the template, or of a line that is no request, is the line's answer. */
static bool render_line(void *context, const json_t *line, Err *err) {
    const Render *r = context;
    Prompt prompt = {0};
    Err why = {0};
    Text out = {0};
    bool ok = json_is_object(line) ? chat_render_bare(r->chat, line, &prompt, &why)
                                   : err_set(&why, "expected an object with \"messages\"");
    if (!ok && why.kind == QM_MEMORY) return err_from(err, &why);
    text_add(&out, ok ? "{\"text\": " : "{\"error\": ", ok ? 9 : 10);
    if (ok) python_json_text(prompt.text.data ? prompt.text.data : "", prompt.text.bytes, &out);
    else python_json_text(why.text, strlen(why.text), &out);
    if (ok && r->generation) {
        text_add(&out, ", \"generation\": [", 17);
        for (size_t i = 0; i < prompt.generation_count; i++)
            text_line(&out, "%s[%zu, %zu]", i ? ", " : "", prompt.generation[i].start, prompt.generation[i].end);
        text_add(&out, "]", 1);
    }
    text_add(&out, "}\n", 2);
    ok = text_ok(&out, "rendered text", err) && file_put(stdout, out.data, out.bytes, "standard output", err);
    text_free(&out);
    prompt_free(&prompt);
    return ok;
}

bool render_lines(const ChatTemplate *chat, bool generation, Err *err) {
    Render r = {chat, generation};
    return json_lines_answer(render_line, &r, err);
}
