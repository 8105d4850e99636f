/* report_html.c: results as one page that needs nothing else: what was asked, said, read and right. */
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "report.h"

void html_add(Text *out, const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '&') text_add(out, "&amp;", 5);
        else if (c == '<') text_add(out, "&lt;", 4);
        else if (c == '>') text_add(out, "&gt;", 4);
        else if (c == '"') text_add(out, "&quot;", 6);
        else if (c == '\'') text_add(out, "&#39;", 5);
        else if ((c < 32 && c != '\n' && c != '\t') || c == 127) text_add(out, "\xEF\xBF\xBD", 3);
        else text_add(out, text + i, 1);
    }
}

static const char head[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'\"><meta name=\"viewport\" content=\"width=device-width\"><title>GSM8K "
    "results</title><style>"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;border:1px solid #ccc;text-align:left}"
    "details{border-left:.4em solid #c33;margin:.3em 0;padding:.2em .6em;background:#faf6f6}"
    "details.right{border-color:#393;background:#f5faf5}details.none{border-color:#999;background:#f5f5f5}"
    "summary{cursor:pointer}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#fff;padding:.6em;border:1px "
    "solid #ddd}"
    "h4{margin:.5em 0 0}button{margin-right:.5em}.hide-right .right,.hide-wrong .wrong,.hide-none .none{display:none}"
    "</style></head><body>\n";

static const char tail[] =
    "<script>for(const b of document.querySelectorAll('button'))b.onclick=()=>"
    "document.body.classList.toggle('hide-'+b.dataset.what)</script></body></html>\n";

static void add_text(Text *out, const json_t *o, const char *key, const char *title, const char *tag) {
    const json_t *v = json_object_get(o, key);
    if (!json_is_string(v)) return;
    text_line(out, "<h4>%s</h4><%s>", title, tag);
    html_add(out, json_string_value(v), json_string_length(v));
    text_line(out, "</%s>", tag);
}

static void add_result(const Report *r, const json_t *o, int64_t number, Text *out) {
    const Protocol *p = r->protocol;
    const json_t *extracted = json_object_get(o, "extracted"), *correct = json_object_get(o, "correct"),
                 *index = json_object_get(o, "index"), *sample = json_object_get(o, "sample");
    bool right = false, found = false;
    Text what = {0};
    for (int i = 0; i < p->rules; i++) {
        const json_t *e = p->rules > 1 ? json_object_get(extracted, p->rule[i]->name) : extracted;
        const json_t *c = p->rules > 1 ? json_object_get(correct, p->rule[i]->name) : correct;
        const char *text = json_string_value(e), *none = p->rule[i]->none;
        right = right || json_is_true(c);
        found = found || (text && (!none || strcmp(text, none)));
        text_line(&what, " · %s ", p->rule[i]->name);
        html_add(&what, text ? text : "none", text ? strlen(text) : 4);
        text_line(&what, json_is_true(c) ? " ✓" : " ✗");
    }
    text_line(out, "<details class=\"%s\"><summary>%lld", right ? "right" : found ? "wrong" : "none",
              (long long)(json_is_integer(index) ? json_integer_value(index) : number));
    if (json_is_integer(sample) && r->samples > 1) text_line(out, ".%lld", (long long)json_integer_value(sample));
    text_add(out, what.data ? what.data : "", what.bytes);
    const char *finish = json_string_value(json_object_get(o, "finish_reason"));
    if (finish && !strcmp(finish, "length")) text_line(out, " · cut off");
    text_line(out, "</summary>");
    add_text(out, o, "question", "Question", "p");
    add_text(out, o, "gold", "Data set's answer", "pre");
    add_text(out, o, "output", "Output", "pre");
    add_text(out, o, "prompt", "Prompt", "pre");
    text_line(out, "</details>\n");
    text_free(&what);
}

static void add_summary(const Report *r, Text *out) {
    text_line(out, "<h1>GSM8K, protocol %s</h1><p>", r->protocol->name);
    html_add(out, r->protocol->summary, strlen(r->protocol->summary));
    text_line(out, "</p><p>");
    if (r->model[0]) text_line(out, "Model "), html_add(out, r->model, strlen(r->model)), text_line(out, ". ");
    text_line(out, "%lld questions, %lld outputs, %lld cut off at the token limit.</p><table><tr><th>rule</th>"
                   "<th>accuracy</th><th>standard error</th><th>majority</th><th>no answer</th></tr>",
              (long long)r->questions, (long long)r->outputs, (long long)r->truncated);
    for (int i = 0; i < r->protocol->rules; i++)
        text_line(out, "<tr><td>%s</td><td>%.4f</td><td>%.4f</td><td>%.4f</td><td>%lld</td></tr>",
                  r->protocol->rule[i]->name, r->rule[i].mean, r->rule[i].deviation, r->rule[i].voted,
                  (long long)r->rule[i].invalid);
    text_line(out, "</table><p><button data-what=\"right\">right</button><button data-what=\"wrong\">wrong</button>"
                   "<button data-what=\"none\">no answer</button>show or hide</p>\n");
}

bool report_html(const Report *r, Lines *lines, const char *path, Err *err) {
    Output out;
    Line line;
    Text text = {0};
    int64_t number = 0;
    if (!output_open(&out, path, err)) return false;
    text_add(&text, head, sizeof head - 1);
    add_summary(r, &text);
    while (!err->kind && lines_next(lines, &line, err)) {
        json_t *o = json_text(line.data, line.bytes, line.where, err);
        if (o && json_object_get(o, "output")) add_result(r, o, number++, &text);
        json_decref(o);
        if (text_ok(&text, "a page", err)) file_put(out.file, text.data ? text.data : "", text.bytes, path, err);
        text.bytes = 0;
    }
    if (!err->kind) file_put(out.file, tail, sizeof tail - 1, path, err);
    text_free(&text);
    return output_end(&out, !err->kind, err);
}
