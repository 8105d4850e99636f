/* chat.c: `chat`: a conversation at the terminal. The cache keeps what both sides said; Ctrl-C stops the answer
 * only. */
#include <editline/readline.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../infer/parameters.h"
#include "model_options.h"

typedef struct Chat {
    QmEngine *engine;
    QmTokenizer *tokenizer;
    QmSession *session;
    GenerationConfig config;
    json_t *messages;
    const char *system;
    int32_t *fed;            /* ids in the cache */
    int64_t fed_count;
    size_t fed_capacity;
    NextToken next;
    SampleWork work;
} Chat;

static void clear(Chat *c) {
    json_decref(c->messages);
    c->messages = json_array();
    if (c->system) json_array_append_new(c->messages, json_pack("{s:s,s:s}", "role", "system", "content", c->system));
}

/* /set NAME VALUE, by the names of a request. */
static void set(Chat *c, char *text) {
    char *save = NULL, *name = strtok_r(text, " \t", &save), *value = strtok_r(NULL, "", &save);
    Err err = {0};
    GenerationConfig next = {0};
    json_t *number = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL, *object = json_object();
    Text shown = {0};
    if (name && number) {
        json_object_set(object, name, number);
        if (!strcmp(name, "temperature"))
            json_object_set_new(object, "do_sample", json_boolean(json_number_value(number) > 0));
        if (parameters_known(object, NULL, "/set", &err) &&
            generation_from_json(&next, &c->config, object, "/set", &err) &&
            generation_check(&next, qm_engine_info(c->engine)->vocab, &err)) {
            GenerationConfig before = c->config;
            c->config = next;
            next = before;
        }
        generation_config_free(&next);
    } else if (name) {
        err_set(&err, "/set %.40s: expected a number, true, false or a JSON string", name);
    }
    if (err.set) fprintf(stderr, "%s\n", err.text);
    generation_text(&c->config, &shown);
    fprintf(stderr, "%s\n", shown.data ? shown.data : "");
    text_free(&shown);
    json_decref(number);
    json_decref(object);
}

/* Feeds what the cache lacks of a generation, for its next token; the common beginning is kept. */
static bool feed(Chat *c, Generation *g, Err *err) {
    const int32_t *ids = g->ids;
    int64_t same = 0, count = g->count;
    while (same < c->fed_count && same < count - 1 && c->fed[same] == ids[same]) same++;
    if (!mem_grow((void **)&c->fed, &c->fed_capacity, (size_t)count, sizeof *c->fed, "chat ids", err)) return false;
    if (!qm_session_crop(c->session, same, err)) return false;
    c->fed_count = same;
    QmAppend a = {.session = c->session, .tokens = ids + same, .count = count - same};
    c->next.generation = g;
    if (!next_token_ask(&c->next, &a, err) || !qm_forward(c->engine, &a, 1, err)) return false;
    memcpy(c->fed, ids, (size_t)count * sizeof *ids);
    c->fed_count = count;
    return true;
}

static bool answer(Chat *c, Err *err) {
    int32_t *ids = NULL;
    Generation g = {0};
    char *json = json_dumps(c->messages, JSON_COMPACT);
    if (!json) err_set(err, "out of memory: messages");
    int64_t count = json ? qm_tokenizer_chat(c->tokenizer, json, strlen(json), true, &ids, NULL, err) : -1;
    bool ok = count > 0 && generation_start(&g, &c->config, c->tokenizer, ids, count, err);
    int64_t context = qm_engine_info(c->engine)->context;
    if (ok && count > context)
        ok = err_set(err, "the context is full: the conversation has %lld tokens, the context %lld; /clear begins a new one, "
                          "--ctx N at the start makes room", (long long)count, (long long)context);
    else if (ok && g.finish)
        ok = err_set(err, "max_length, %lld, is used up: the conversation has %lld tokens; /set max_new_tokens N counts "
                          "new ones only, /clear begins anew", (long long)c->config.max_length, (long long)count);
    interrupt_clear();
    while (ok && !g.finish && !interrupted()) {
        const char *text;
        size_t bytes;
        if (!(ok = feed(c, &g, err))) break;
        int32_t id;
        ok = next_token_take(&c->next, 0, &id, err) && generation_push(&g, id, &text, &bytes, err);
        if (ok && g.count > qm_engine_info(c->engine)->context) generation_end(&g, "length", &text, &bytes);
        ok = ok && file_put(stdout, text, bytes, "standard output", err);
    }
    if (interrupted() && !ok) err->set = false, ok = true; /* the answer so far stands */
    ok = ok && generation_sound(&g, err);
    ok = file_put(stdout, "\n", 1, "standard output", err) && ok;
    if (ok && g.count > context)
        fprintf(stderr, "(the context of %lld tokens is full: /clear begins a new conversation)\n", (long long)context);
    if (ok)
        json_array_append_new(c->messages, json_pack("{s:s,s:o}", "role", "assistant", "content",
                                                     json_stringn(g.raw.data ? g.raw.data : "", g.raw.bytes)));
    free(json);
    free(ids);
    generation_free(&g);
    return ok;
}

/* One line of input, malloc'ed; NULL at the end. */
static char *read_line(bool terminal) {
    if (terminal) return readline("> ");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n = getline(&line, &capacity, stdin);
    if (n < 0) return free(line), NULL;
    if (n > 0 && line[n - 1] == '\n') line[n - 1] = 0;
    return line;
}

/* False to leave. */
static bool handle(Chat *c, char *line) {
    Err err = {0};
    if (!strcmp(line, "/quit") || !strcmp(line, "/exit") || !strcmp(line, "/bye")) return false;
    if (!strcmp(line, "/clear")) clear(c);
    else if (!strncmp(line, "/set", 4) && (!line[4] || line[4] == ' ')) set(c, line + 4);
    else if (line[0] == '/') fprintf(stderr, "/set NAME VALUE, /clear, /quit; anything else is said to the model\n");
    else if (line[0]) {
        json_t *said = json_pack("{s:s,s:s}", "role", "user", "content", line);
        size_t before = json_array_size(c->messages);
        if (!said) return fprintf(stderr, "not valid UTF-8\n"), true;
        json_array_append_new(c->messages, said);
        if (!answer(c, &err)) {
            fprintf(stderr, "error: %s\n", err.text);
            json_array_remove(c->messages, before); /* as if it had not been said */
        }
    }
    return true;
}

int cmd_chat(int argc, char **argv) {
    ModelOptions m = {.act = ACT_DEFAULT};
    SampleOptions s = {0};
    Chat c = {0};
    const Option options[] = {
        MODEL_OPTIONS(m), SAMPLE_OPTIONS(s),
        TEXT("system", 0, &c.system, "TEXT", "system message (default: the template's)"),
    };
    int code = options_parse(argc, argv, "chat -m MODEL [options]",
                             "In the chat: /set NAME VALUE, /clear, /quit; Ctrl-C stops an answer, Ctrl-D leaves.",
                             options, (int)(sizeof options / sizeof *options), NULL);
    if (code >= 0) return code;
    Err err = {0};
    if (!(c.engine = model_open("chat", &m, false, &code))) return code;
    int64_t vocab = qm_engine_info(c.engine)->vocab;
    bool ok = (c.tokenizer = model_tokenizer(&m, &err)) && sample_options_config(&s, &m, &c.config, &err) &&
              (c.session = qm_session_new(c.engine, &err)) && sample_work_new(&c.work, vocab, &err);
    if (ok) generation_turn_ends(&c.config, c.tokenizer);
    bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    c.next.work = &c.work;
    clear(&c);
    interrupt_stops(c.engine);
    for (char *line; ok && (line = read_line(terminal)); free(line)) {
        if (terminal && *line) add_history(line);
        if (!handle(&c, line)) {
            free(line);
            break;
        }
    }
    interrupt_stops(NULL);
    code = ok ? EXIT_OK : fail(&err);
    json_decref(c.messages);
    free(c.fed);
    free(c.next.logits);
    sample_work_free(&c.work);
    generation_config_free(&c.config);
    qm_session_free(c.session);
    qm_tokenizer_close(c.tokenizer);
    qm_engine_close(c.engine);
    return code;
}
