/* cmd_chat.c: `chat`: a conversation at the terminal. The cache keeps what both sides said; Ctrl-C stops the answer
 * only. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../io/json.h"
#include "conversation.h"
#include "model_options.h"
#include "terminal.h"

/* What an answer took. */
typedef struct Pace { double prefill, decode; int64_t fed, decoded, prompt; } Pace;

typedef struct Chat {
    QmEngine *engine;
    QmTokenizer *tokenizer;
    QmGenerator *generator;  /* its one slot keeps what both sides said */
    QmParameters *parameters;
    Conversation said;
    bool terminal;
    bool failed;             /* a turn, where nobody saw it: no terminal */
    int64_t held;            /* tokens in the cache */
    uint64_t take;           /* answers to the same message draw apart */
    Pace pace;
} Chat;

/* Says what was wrong with a command; the chat goes on, and where it is a pipe's, ends with exit code 1. */
static void wrong(Chat *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void wrong(Chat *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    c->failed = !c->terminal;
}

/* Whether a chat does what is set: an answer is shown as it comes, so nothing searches for it. */
static bool settable(const QmParameters *p, Err *err) {
    return !qm_parameters_search(p) ||
           err_set(err, "/set: a chat takes one token after the other: num_beams, num_return_sequences, best_of, "
                        "penalty_alpha and prompt_lookup_num_tokens are for run and generate");
}

/* {NAME: VALUE}; a temperature says whether to sample, too. NULL and an error. */
static char *setting(const char *name, const char *value, Err *err) {
    json_t *number = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL, *object = json_object();
    if (!number) err_set(err, "/set %.40s: expected a number, true, false or a JSON string", name);
    else {
        json_object_set(object, name, number);
        if (!strcmp(name, "temperature"))
            json_object_set_new(object, "do_sample", json_boolean(json_number_value(number) > 0));
    }
    char *json = number ? json_dump(object, JSON_COMPACT, "a parameter", err) : NULL;
    json_decref(number);
    json_decref(object);
    return json;
}

/* /set NAME VALUE, by the names of a request. */
static void set(Chat *c, char *text) {
    char *save = NULL, *name = strtok_r(text, " \t", &save), *value = strtok_r(NULL, "", &save);
    Err err = {0};
    char *json = name ? setting(name, value, &err) : NULL;
    QmParameters *next = json ? qm_parameters_copy(c->parameters, &err) : NULL;
    if (next && qm_parameters_read(next, json, strlen(json), NULL, "/set", &err) &&
        qm_parameters_check(next, c->engine, &err) && settable(next, &err)) {
        QmParameters *before = c->parameters;
        c->parameters = next;
        next = before;
    }
    if (err.kind) wrong(c, "%s", err.text);
    char *shown = qm_parameters_text(c->parameters, &err);
    fprintf(stderr, "%s\n", shown ? shown : "");
    qm_parameters_free(next);
    free(shown);
    free(json);
}

/* A search that the model's own parameters ask for is left out. */
static bool parameters_streamed(QmParameters *p, Err *err) {
    static const char off[] = "{\"num_beams\":1,\"num_beam_groups\":1,\"num_return_sequences\":1,\"best_of\":0,"
                              "\"prompt_lookup_num_tokens\":0,\"penalty_alpha\":0,\"diversity_penalty\":0}";
    if (qm_parameters_search(p))
        fprintf(stderr, "note: a chat takes one token after the other: the search of generation_config.json is left out\n");
    return qm_parameters_set(p, off, sizeof off - 1, err);
}

/* At a terminal an answer's control characters, but for line ends and tabs, are left out: they are no text, and could
 * say anything to the terminal. `text` holds whole characters. */
static bool show(const Chat *c, const char *text, size_t bytes, Err *err) {
    size_t from = 0;
    for (size_t i = 0; c->terminal && i < bytes; i++) {
        unsigned char b = (unsigned char)text[i];
        bool second = b == 0xc2 && i + 1 < bytes && (unsigned char)text[i + 1] < 0xa0; /* U+0080 to U+009F */
        if ((b >= ' ' || b == '\n' || b == '\t') && b != 127 && !second) continue;
        if (!file_put(stdout, text + from, i - from, "standard output", err)) return false;
        from = i + 1 + second;
        i += second;
    }
    return file_put(stdout, text + from, bytes - from, "standard output", err);
}

/* An answer on its way to the terminal, and what came of it. */
typedef struct Turn {
    const Chat *chat;
    int64_t prompt, count;   /* tokens of it; new ones             */
    Text text;               /* the answer                         */
    const char *finish;      /* "": none                           */
    char finish_text[24];
    Pace pace;
    Err failed;
} Turn;

/* Says why an answer ended, unless the model ended it. */
static void say_end(const Chat *c, const Turn *t) {
    double length = qm_parameters_number(c->parameters, "max_length");
    int64_t most = length > 0 ? (int64_t)length - t->prompt
                              : (int64_t)qm_parameters_number(c->parameters, "max_new_tokens");
    int64_t context = qm_engine_info(c->engine)->context;
    bool full = t->prompt + t->count > context && t->count < most;
    if (interrupted()) fprintf(stderr, "(stopped)\n");
    else if (full && !strcmp(t->finish, "length"))
        fprintf(stderr, "(the context of %lld tokens is full: /clear begins a new conversation)\n", (long long)context);
    else if (!strcmp(t->finish, "length"))
        fprintf(stderr, "(cut after %lld new tokens; /set max_new_tokens %lld allows more)\n", (long long)most,
                (long long)most * 4);
    else if (!strcmp(t->finish, "time"))
        fprintf(stderr, "(cut after max_time, %g s)\n", qm_parameters_number(c->parameters, "max_time"));
    else if (*t->finish && strcmp(t->finish, "stop") != 0) fprintf(stderr, "(ended: %s)\n", t->finish);
}

static bool show_token(void *owner, int64_t request, int32_t id, const char *text, size_t bytes) {
    Turn *t = owner;
    (void)request;
    t->count += id >= 0;
    return show(t->chat, text, bytes, &t->failed);
}

static void turn_done(void *owner, const QmAnswer *a) {
    Turn *t = owner;
    if (a->failed) err_from(&t->failed, a->failed);
    if (a->count) {
        text_add(&t->text, a->sequences->text, a->sequences->bytes);
        t->count = a->sequences->count;
    }
    snprintf(t->finish_text, sizeof t->finish_text, "%s", a->finish ? a->finish : "");
    t->pace = (Pace){.prompt = a->prompt, .fed = a->prompt - a->reused, .prefill = a->first - a->taken,
                     .decode = a->ended - a->first};
}

/* To the end, or Ctrl-C: the answer so far stands. */
static bool run(Chat *c, const QmRequest *r, Turn *t, Err *err) {
    if (!c->generator && !(c->generator = qm_generator_new(c->engine, c->tokenizer, NULL, err))) return false;
    int64_t number = qm_generator_add(c->generator, r, err);
    bool ok = number > 0;
    while (ok && qm_generator_busy(c->generator)) {
        if (interrupted()) qm_generator_cancel(c->generator, number);
        if (!qm_generator_step(c->generator, err)) ok = err->kind == QM_INTERRUPTED && interrupted();
        if (ok) *err = (Err){0};
    }
    if (number && !ok) qm_generator_free(c->generator), c->generator = NULL; /* it may still have the request */
    c->held = t->prompt + (t->count > 0 ? t->count - 1 : 0);
    t->pace.decoded = c->held - t->prompt;
    c->pace = t->pace;
    return ok && (!t->failed.kind || err_from(err, &t->failed));
}

/* Whether there is room for an answer to a prompt of `count` tokens. */
static bool has_room(const Chat *c, int64_t count, Err *err) {
    int64_t context = qm_engine_info(c->engine)->context;
    int64_t length = (int64_t)qm_parameters_number(c->parameters, "max_length");
    if (count > context)
        return err_as(err, QM_LIMIT,
                      "the context is full: the conversation has %lld tokens, the context %lld; /clear begins a new "
                      "one, --ctx N at the start makes room", (long long)count, (long long)context);
    if (length && count >= length)
        return err_set(err, "max_length, %lld, is used up: the conversation has %lld tokens; /set max_new_tokens N counts "
                            "new ones only, /clear begins anew", (long long)length, (long long)count);
    return length || qm_parameters_number(c->parameters, "max_new_tokens") > 0 ||
           err_set(err, "max_new_tokens is 0: /set max_new_tokens 256 allows an answer");
}

static bool answer(Chat *c, Err *err) {
    int32_t *ids = NULL;
    char *json = json_dump(c->said.messages, JSON_COMPACT, "messages", err);
    int64_t count = json ? qm_tokenizer_chat(c->tokenizer, json, strlen(json), true, &ids, NULL, err) : -1;
    Turn turn = {.chat = c, .prompt = count};
    turn.finish = turn.finish_text;
    QmRequest r = {.size = sizeof r, .ids = ids, .count = count, .parameters = c->parameters, .chat = true,
                   .sequence = c->take, .sink = {.owner = &turn, .token = show_token, .done = turn_done}};
    bool ok = count > 0 && has_room(c, count, err) && run(c, &r, &turn, err);
    ok = file_put(stdout, "\n", 1, "standard output", err) && ok;
    if (ok) say_end(c, &turn);
    interrupt_clear();
    ok = ok && text_ok(&turn.text, "an answer", err) &&
         conversation_add(&c->said, "assistant", turn.text.data ? turn.text.data : "", turn.text.bytes, err);
    free(json);
    free(ids);
    text_free(&turn.text);
    return ok;
}

/* ---- Commands ---------------------------------------------------------------------------------------------------- */

/* One more answer to the last message; the old one stands where there is none. */
static void again(Chat *c, char *rest, Err *err) {
    (void)rest;
    json_t *old = conversation_take_answer(&c->said);
    if (!old) {
        wrong(c, "nothing was answered yet");
        return;
    }
    c->take++;
    if (qm_parameters_number(c->parameters, "do_sample") < 1 || !(qm_parameters_number(c->parameters, "temperature") > 0))
        fprintf(stderr, "(greedy: the same answer again; /set temperature 0.7 draws others)\n");
    if (!answer(c, err)) json_array_append(c->said.messages, old);
    json_decref(old);
}

static void stats(Chat *c, char *rest, Err *err) {
    const QmModelInfo *i = qm_engine_info(c->engine);
    const Pace *p = &c->pace;
    (void)rest, (void)err;
    fprintf(stderr, "context: %lld of %lld tokens; messages: %zu\n", (long long)c->held, (long long)i->context,
            json_array_size(c->said.messages));
    if (p->fed)
        fprintf(stderr, "last prompt: %lld tokens, %lld of them new to the cache, at %.1f tok/s\n",
                (long long)p->prompt,
                (long long)p->fed, (double)p->fed / (p->prefill > 0 ? p->prefill : 1e-9));
    if (p->decoded)
        fprintf(stderr, "last answer: %.1f tok/s\n", (double)p->decoded / (p->decode > 0 ? p->decode : 1e-9));
}

static void clear(Chat *c, char *rest, Err *err) {
    (void)rest;
    conversation_clear(&c->said, err);
}
static void set_value(Chat *c, char *rest, Err *err) {
    (void)err;
    set(c, rest);
}
static void system_message(Chat *c, char *rest, Err *err) {
    if (*rest) conversation_system(&c->said, strcmp(rest, "default") ? rest : NULL, err);
    if (!err->kind) fprintf(stderr, "system: %s\n", c->said.system ? c->said.system : "the template's own");
}
static void save(Chat *c, char *rest, Err *err) {
    if (conversation_save(&c->said, rest, err))
        fprintf(stderr, "%zu message%s in %s\n", json_array_size(c->said.messages),
                json_array_size(c->said.messages) == 1 ? "" : "s", rest);
}
static void load(Chat *c, char *rest, Err *err) {
    if (conversation_load(&c->said, rest, err))
        fprintf(stderr, "%zu message%s from %s\n", json_array_size(c->said.messages),
                json_array_size(c->said.messages) == 1 ? "" : "s", rest);
}
static void help(Chat *c, char *rest, Err *err);

typedef struct ChatCommand {
    const char *name, *argument;
    void (*run)(Chat *, char *, Err *); /* NULL: leave                       */
    const char *what;                   /* NULL: another name of one before */
} ChatCommand;
static const ChatCommand chat_commands[] = {
    {"/help", "", help, "this list"},
    {"/set", "[NAME VALUE]", set_value,
     "a parameter, as requests name it: /set temperature 0.5; alone: those in force"},
    {"/system", "[TEXT]", system_message, "the system message; default: the template's own; alone: shows it"},
    {"/clear", "", clear, "forgets what was said"},
    {"/regen", "", again, "another answer to the last message"},
    {"/stats", "", stats, "tokens in the context, tokens per second"},
    {"/save", "FILE", save, "the conversation as JSON, as `generate --in` and /load read it"},
    {"/load", "FILE", load, "goes on with a saved conversation"},
    {"/quit", "", NULL, "leaves, as /exit, /bye and Ctrl-D do"},
    {"/exit", "", NULL, NULL},
    {"/bye", "", NULL, NULL},
};
enum { CHAT_COMMANDS = sizeof chat_commands / sizeof *chat_commands };

static void help(Chat *c, char *rest, Err *err) {
    (void)c, (void)rest, (void)err;
    for (int i = 0; i < CHAT_COMMANDS; i++) {
        char left[32];
        snprintf(left, sizeof left, "%s %s", chat_commands[i].name, chat_commands[i].argument);
        if (chat_commands[i].what) fprintf(stderr, "  %-20s %s\n", left, chat_commands[i].what);
    }
    fprintf(stderr,
            "Several lines: paste them, end a line with \\, put them between \"\"\" and \"\"\", or press Alt-Enter.\n"
                    "Ctrl-C clears the line or stops the answer. A message that begins with / : a space before it.\n");
}

/* A line that begins with a slash. False to leave. */
static bool command(Chat *c, char *line, Err *err) {
    size_t bytes = strcspn(line, " \t\n");
    char *rest = line + bytes + strspn(line + bytes, " \t\n");
    for (size_t end = strlen(rest); end && strchr(" \t\n", rest[end - 1]);) rest[--end] = 0;
    for (int i = 0; i < CHAT_COMMANDS; i++) {
        if (strncmp(chat_commands[i].name, line, bytes) || chat_commands[i].name[bytes]) continue;
        if (!chat_commands[i].run) return false;
        if (*rest && !*chat_commands[i].argument) wrong(c, "%s takes nothing after it", chat_commands[i].name);
        else if (!*rest && *chat_commands[i].argument && *chat_commands[i].argument != '[')
            wrong(c, "%s: expected %s", chat_commands[i].name, chat_commands[i].argument);
        else chat_commands[i].run(c, rest, err);
        return true;
    }
    wrong(c, "no command %s: /help lists them; a message that begins with / takes a space before it",
          name_text(line, bytes).text);
    return true;
}

/* False to leave. */
static bool handle(Chat *c, char *line, size_t bytes) {
    Err err = {0};
    bool on = true;
    if (line[0] == '/') on = command(c, line, &err);
    else if (bytes) {
        size_t before = json_array_size(c->said.messages);
        c->take = 0;
        if (conversation_add(&c->said, "user", line, bytes, &err) && !answer(c, &err))
            json_array_remove(c->said.messages, before); /* as if it had not been said */
    }
    if (err.kind) fail(&err), c->failed = !c->terminal;
    return on;
}

static void banner(const Chat *c, const char *model) {
    const QmModelInfo *i = qm_engine_info(c->engine);
    size_t bytes = strlen(model);
    while (bytes > 1 && model[bytes - 1] == '/') bytes--;
    size_t from = bytes;
    while (from && model[from - 1] != '/') from--;
    printf("%s: %s, %.1f M parameters, weights %s, activations %s; mesh %s, workers: %d, context %lld\n"
           "/help lists commands; Ctrl-C stops an answer, Ctrl-D leaves.\n",
           name_text(model + from, bytes - from).text, i->architecture, (double)i->parameters / 1e6, i->weight_type,
           i->act, i->mesh, i->workers, (long long)i->context);
}

static void talk(Chat *c, Terminal *terminal, Err *err) {
    size_t bytes = 0;
    for (char *line; !err->kind; free(line)) {
        interrupt_stops(c->terminal ? c->engine : NULL); /* between answers Ctrl-C ends a chat that a pipe feeds */
        if (!(line = terminal_read(terminal, &bytes, err))) break;
        interrupt_stops(c->engine);
        if (!handle(c, line, bytes)) {
            free(line);
            break;
        }
    }
    interrupt_stops(NULL);
}

int cmd_chat(int argc, char **argv) {
    ModelOptions m = {.engine.act = ACT_DEFAULT};
    SampleOptions s = {0};
    Chat c = {0};
    const char *system = NULL;
    const Option options[] = {
        TEXT("system", 0, &system, "TEXT", "system message (default: the template's)"),
        SAMPLE_OPTIONS(s),
        MODEL_OPTIONS(m),
        CHAT_TEMPLATE_OPTION(m),
    };
    int code = options_parse(argc, argv, "chat -m MODEL [options]",
                             "In the chat: /help lists commands; Ctrl-C stops an answer, Ctrl-D leaves.",
                             options, (int)(sizeof options / sizeof *options), NULL);
    if (code >= 0) return code;
    Err err = {0};
    if (!conversation_system(&c.said, system, &err) || !conversation_clear(&c.said, &err))
        return conversation_free(&c.said), fail(&err);
    if (!(c.engine = model_open("chat", &m, false, &code))) return conversation_free(&c.said), code;
    Terminal *terminal = NULL;
    c.terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    bool ok = (c.tokenizer = model_tokenizer(&m, &err)) && (c.parameters = sample_parameters(&s, NULL, &m, &err)) &&
              (terminal = terminal_open(c.terminal, &err)) && parameters_streamed(c.parameters, &err);
    if (ok) qm_parameters_chat(c.parameters, c.tokenizer);
    if (ok && c.terminal) banner(&c, m.engine.model);
    if (ok) talk(&c, terminal, &err);
    terminal_close(terminal);
    code = err.kind ? fail(&err) : c.failed ? EXIT_FAILED : EXIT_OK;
    conversation_free(&c.said);
    qm_generator_free(c.generator);
    qm_parameters_free(c.parameters);
    qm_tokenizer_close(c.tokenizer);
    qm_engine_close(c.engine);
    return code;
}
