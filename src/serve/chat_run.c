/* chat_run.c: see chat_run.h. */
#include <stdlib.h>
#include <string.h>
#include "access_log.h"
#include "chat_run.h"
#include "run_parameters.h"

/* ---- What a run holds -------------------------------------------------------------------------------------------- */

static void choice_free(ChatChoice *c) {
    tool_stream_free(&c->stream);
    text_free(&c->content);
    text_free(&c->reasoning);
    for (int i = 0; i < c->call_count; i++) text_free(&c->calls[i].arguments);
    free(c->calls);
    free(c->ids);
    free(c->logprobs);
    free((int32_t *)(uintptr_t)c->said.ids);
    free((char *)(uintptr_t)c->said.text);
}

static void run_free(void *user) {
    ChatRun *run = user;
    if (run->form->free && run->state) run->form->free(run->state);
    for (int64_t i = 0; run->choices && i < run->choice_count; i++) choice_free(&run->choices[i]);
    for (int64_t i = 0; run->prompts && i < run->prompt_count; i++) {
        free(run->prompts[i].ids);
        free(run->prompts[i].logprobs);
        json_decref(run->prompts[i].parameters);
    }
    free(run->choices);
    free(run->prompts);
    chat_request_free(&run->request);
    json_decref(run->body);
    free(run);
}

void chat_choice_told(ChatChoice *c) { c->token_count = 0; }

ChatUsage chat_run_usage(const ChatRun *run) {
    ChatUsage u = {0};
    for (int64_t i = 0; i < run->prompt_count; i++)
        u.prompt += run->prompts[i].count, u.cached += run->prompts[i].cached;
    for (int64_t i = 0; i < run->choice_count; i++) u.generated += run->choices[i].tokens;
    return u;
}

/* ---- What a choice says ------------------------------------------------------------------------------------------ */

static int64_t row_of(const ChatRun *run) { return 1 + run->request.top_logprobs; }

/* Keeps a token until it is told. */
static bool keep_token(const ChatRun *run, ChatChoice *c, int32_t id, const QmLogprob *logprobs, int64_t alternatives) {
    Err err = {0};
    size_t row = (size_t)row_of(run), at = (size_t)c->token_count;
    if (!mem_grow((void **)&c->ids, &c->id_capacity, at + 1, sizeof *c->ids, "tokens", &err)) return false;
    c->ids[at] = id;
    if (run->request.logprobs && logprobs) {
        if (!mem_grow((void **)&c->logprobs, &c->logprob_capacity, (at + 1) * row, sizeof *c->logprobs, "tokens", &err))
            return false;
        for (size_t k = 0; k < row; k++)
            c->logprobs[at * row + k] = (int64_t)k <= alternatives ? logprobs[k] : (QmLogprob){.id = -1};
    }
    c->token_count++;
    return true;
}

/* Where one choice is in its run, for tool_stream's callback. */
typedef struct Telling { ChatRun *run; int64_t choice; } Telling;

static bool keep_event(ChatRun *run, ChatChoice *c, const ToolEvent *e) {
    Err err = {0};
    if (e->kind == TOOL_BEGIN) {
        if (!mem_grow((void **)&c->calls, &c->call_capacity, (size_t)c->call_count + 1, sizeof *c->calls, "calls",
                      &err))
            return false;
        ChatCall *call = &c->calls[c->call_count++];
        *call = (ChatCall){0};
        new_id(run->form->call_prefix ? run->form->call_prefix : "call_", call->id);
        snprintf(call->name, sizeof call->name, "%.*s", (int)e->bytes, e->text);
    }
    if (run->request.stream) return true;
    Text *to = e->kind == TOOL_CONTENT     ? &c->content
               : e->kind == TOOL_REASONING ? &c->reasoning
               : e->kind == TOOL_ARGUMENTS && c->call_count ? &c->calls[c->call_count - 1].arguments
                                                            : NULL;
    if (to) text_add(to, e->text, e->bytes);
    return !to || !to->failed;
}

static bool tell_event(void *owner, const ToolEvent *e) {
    const Telling *t = owner;
    if (!keep_event(t->run, &t->run->choices[t->choice], e)) return false;
    if (t->run->request.stream && (e->bytes || e->kind == TOOL_BEGIN || e->kind == TOOL_END))
        t->run->form->event(t->run, t->choice, e);
    return true;
}

/* The stream's owner is a place on this stack. */
static bool feed(ChatRun *run, int64_t choice, const char *text, size_t bytes, bool ends) {
    ChatChoice *c = &run->choices[choice];
    Telling t = {run, choice};
    c->stream.owner = &t;
    bool ok = (bytes == 0 || tool_stream_push(&c->stream, text, bytes)) && (!ends || tool_stream_end(&c->stream));
    c->stream.owner = NULL;
    return ok;
}

/* ---- Events of the job ------------------------------------------------------------------------------------------- */

static void on_begin(Job *job) {
    ChatRun *run = job_user(job);
    run->job = job;
    if (run->request.stream && run->form->begin) run->form->begin(run);
}

static void on_token(Job *job, int64_t item, const JobToken *token) {
    ChatRun *run = job_user(job);
    ChatChoice *c = &run->choices[item];
    bool ok = true;
    c->fed = true;
    if (token->id >= 0) {
        c->tokens++;
        if (token->logprobs) c->logprob_sum += (double)token->logprobs->logprob;
        ok = keep_token(run, c, token->id, token->logprobs, token->alternatives);
    }
    if (!ok || !feed(run, item, token->text, token->bytes, false)) job_cancel(job, item);
}

/* In OpenAI's words. Whatever was cut before its end is "length". */
static const char *finish_of(const ChatRun *run, const ChatChoice *c, const char *finish) {
    bool whole = !finish || !strcmp(finish, "stop");
    if (!whole || c->stream.cut_off) return "length";
    return c->call_count && run->request.tool_choice != TOOLS_NAMED ? "tool_calls" : "stop";
}

/* The token that ended the answer has no text in it. */
static void drop_end(ChatRun *run, ChatChoice *c, const QmSequence *s) {
    if (!c->token_count || !s->count || strcmp(s->finish, "stop") || run->request.token_ids) return;
    size_t bytes;
    bool special = false;
    int32_t last = c->ids[c->token_count - 1];
    const char *piece = qm_tokenizer_piece(run->call->server->model.tokenizer, last, &bytes, &special);
    bool end = !piece || special;
    for (int64_t i = 0; i < run->request.stop_id_count; i++) end |= last == run->request.stop_ids[i];
    if (end && last == s->ids[s->count - 1]) c->token_count--;
}

/* The stop string that ended the text: the one that stands first among those that the last token completed. */
static const char *stop_of(const ChatRun *run, const QmSequence *s) {
    enum { MOST_TOKENS = 256 }; /* of a stop string */
    const json_t *list = json_object_get(run->request.parameters, "stop_strings"), *one;
    const QmTokenizer *t = run->call->server->model.tokenizer;
    int64_t from = s->count > MOST_TOKENS ? s->count - MOST_TOKENS : 0;
    const char *best = NULL, *at = NULL;
    Err none = {0};
    size_t i, bytes, before;
    if (!json_array_size(list) || strcmp(s->finish, "stop") || !s->count || !t) return NULL;
    char *text = qm_tokenizer_decode(t, s->ids + from, s->count - from, false, &bytes, &none);
    char *head = qm_tokenizer_decode(t, s->ids + from, s->count - from - 1, false, &before, &none);
    json_array_foreach(list, i, one) {
        size_t n = json_string_length(one);
        const char *found = text && head && bytes >= n ? memmem(text + (before >= n ? before - n + 1 : 0),
                                                                bytes - (before >= n ? before - n + 1 : 0),
                                                                json_string_value(one), n) : NULL;
        if (found && (!at || found < at)) at = found, best = json_string_value(one);
    }
    free(text);
    free(head);
    return best;
}

static void end_choice(ChatRun *run, int64_t choice, const QmSequence *s) {
    ChatChoice *c = &run->choices[choice];
    if (!c->fed && s) { /* a search compares whole sequences, and says nothing before its end */
        int64_t row = 1 + s->alternatives;
        for (int64_t i = 0; i < s->count; i++) {
            const QmLogprob *told = s->logprobs ? s->logprobs + i * row : NULL;
            keep_token(run, c, s->ids[i], told, s->alternatives);
            if (told) c->logprob_sum += (double)told->logprob;
        }
        c->tokens = s->count;
        feed(run, choice, s->text, s->bytes, false);
    }
    if (s) drop_end(run, c, s);
    if (s && s->proof) snprintf(c->proof, sizeof c->proof, "%s", s->proof);
    Err err = {0}; /* told when the exchange is saved */
    if (s && run->call->server->options->exchanges) chat_choice_keep(c, s, &err);
    feed(run, choice, "", 0, true);
    if (s) c->stop = stop_of(run, s);
    c->finish = finish_of(run, c, s ? s->finish : "stop");
    if (run->request.stream && run->form->done) run->form->done(run, choice);
}

/* Log-probabilities of the prompt's tokens; where memory ends there are none. */
static void keep_prompt(const ChatRun *run, ChatPrompt *p, const QmAnswer *a) {
    Err err = {0};
    int64_t row = row_of(run), from = 1 + a->prompt_alternatives;
    p->logprobs = mem_new((size_t)(p->count * row), sizeof *p->logprobs, "log-probabilities", &err);
    for (int64_t i = 0; p->logprobs && i < p->count; i++)
        for (int64_t k = 0; k < row; k++)
            p->logprobs[i * row + k] = k < from ? a->prompt_logprobs[i * from + k] : (QmLogprob){.id = -1};
}

static void on_done(Job *job, int64_t item, const QmAnswer *answer) {
    ChatRun *run = job_user(job);
    int64_t each = run->choice_count / job_items(job); /* beams: one item has all choices of a prompt */
    int64_t first = item * each;
    ChatPrompt *p = &run->prompts[first / run->samples];
    if (first % run->samples == 0) p->cached = answer->reused;
    if (answer->prompt_logprobs && !p->logprobs) keep_prompt(run, p, answer);
    for (int64_t i = 0; i < each; i++) end_choice(run, first + i, i < answer->count ? &answer->sequences[i] : NULL);
}

/* The file is there before the answer is whole: whoever has an answer can prove it. */
static void on_end(Job *job) {
    ChatRun *run = job_user(job);
    const char *folder = run->call->server->options->exchanges;
    Err err = {0};
    if (folder && !chat_run_save(run, folder, &err))
        server_log(run->call->server, "error: request %s: its exchange is not saved: %s", run->call->id, err.text);
    run->form->end(run);
}

static void on_failed(Job *job, int status, const char *type, const char *message) {
    ChatRun *run = job_user(job);
    run->form->failed(run, status, type, message);
}

/* ---- Getting ready ----------------------------------------------------------------------------------------------- */

/* Answers that something is wrong. */
static bool refuse(Call *call, const Err *err, const char *param) {
    return serve_failed(call, err, *param ? param : NULL), false;
}

static bool too_long(Call *call, int64_t prompt, int64_t context, const char *param) {
    serve_error(
        call, 400, "invalid_request_error", "context_length_exceeded", param,
        "This model's maximum context length is %lld tokens. However, your prompt has %lld tokens. Please reduce "
        "its length.",
        (long long)context, (long long)prompt);
    return false;
}

/* A chat's prompt is one, and says how the answer is to be read. */
static int64_t ready_chat(ChatRun *run, ChatPrompt *p, AnswerShape *shape, Err *err) {
    const Server *s = run->call->server;
    char *text = NULL;
    int64_t n = chat_prompt_ids(s, &run->request, &p->ids, &text, err);
    if (n >= 0) *shape = answer_shape(s->model.tokenizer, &run->request, text);
    free(text);
    return n;
}

static bool ready_prompts(ChatRun *run, AnswerShape *shape, Err *err) {
    const ChatRequest *r = &run->request;
    const Server *s = run->call->server;
    int64_t context = qm_engine_info(s->model.engine)->context, room = r->max_new != 0;
    const char *param = r->messages ? "messages" : "prompt";
    run->prompt_count = r->messages ? 1 : r->prompt_count;
    if (!(run->prompts = mem_new((size_t)run->prompt_count, sizeof *run->prompts, "prompts", err)))
        return refuse(run->call, err, "");
    for (int64_t i = 0; i < run->prompt_count; i++) {
        ChatPrompt *p = &run->prompts[i];
        p->count = r->messages ? ready_chat(run, p, shape, err) : prompt_text_ids(s, &r->prompts[i], &p->ids, err);
        if (p->count == 0) err_set(err, "%s: the prompt has no tokens", param);
        if (p->count < 1) return refuse(run->call, err, *r->wrong ? r->wrong : param);
        if (p->count + room > context) return too_long(run->call, p->count, context, param);
    }
    return true;
}

static bool ready_choices(ChatRun *run, AnswerShape shape, Err *err) {
    const ChatRequest *r = &run->request;
    run->samples = r->best_of;
    run->choice_count = run->prompt_count * run->samples;
    if (!(run->choices = mem_new((size_t)run->choice_count, sizeof *run->choices, "choices", err)))
        return refuse(run->call, err, "");
    for (int64_t i = 0; i < run->choice_count; i++)
        tool_stream_start(&run->choices[i].stream, shape.tools, shape.thinking, shape.open, tell_event, NULL);
    return true;
}

void note_unknown(const Call *call, const ChatRequest *r) {
    enum { SETS = 64 }; /* that are remembered */
    static _Atomic uint64_t seen[SETS];
    uint64_t hash = 14695981039346656037u;
    for (const char *c = r->unknown; *c; c++) hash = (hash ^ (uint8_t)*c) * 1099511628211u;
    if (!*r->unknown || atomic_exchange(&seen[hash % SETS], hash) == hash) return;
    server_log(call->server, "request %s: members that nothing reads: %s", call->id, r->unknown);
}

static const JobEvents events = {.begin = on_begin, .token = on_token, .done = on_done, .end = on_end,
                                 .failed = on_failed, .free = run_free};
static const JobEvents plain_events = {.begin = on_begin, .token = on_token, .done = on_done, .end = on_end,
                                       .free = run_free};

/* Log-probabilities of an answer are held until it is told: all of it where it is no stream. */
static bool logprobs_fit(ChatRun *run) {
    enum { MOST_LOGPROBS = 1 << 20 };
    const ChatRequest *r = &run->request;
    int64_t context = qm_engine_info(run->call->server->model.engine)->context, tokens = 0;
    for (int64_t i = 0; r->logprobs && i < run->prompt_count; i++) {
        int64_t count = run->prompts[i].count, room = context - count;
        int64_t most = r->max_new >= 0 && r->max_new < room ? r->max_new : room;
        tokens += r->best_of * ((r->stream ? 0 : most) + (r->echo ? count : 0));
    }
    if (tokens <= MOST_LOGPROBS / row_of(run)) return true;
    serve_error(run->call, 400, "invalid_request_error", NULL, "logprobs",
                "%lld tokens with %lld log-probabilities each: expected at most %d in one answer", (long long)tokens,
                (long long)row_of(run), MOST_LOGPROBS);
    return false;
}

/* Items of all prompts, one for each sample; of beams one for each prompt. Hands the run to its job. */
static void start(ChatRun *run, AnswerShape shape, Err *err) {
    ChatRequest *r = &run->request;
    const Server *s = run->call->server;
    int64_t each = request_beams(r) ? 1 : run->samples, count = run->prompt_count * each;
    QmParameters **parameters = mem_new((size_t)run->prompt_count, sizeof *parameters, "a request", err);
    JobItem *items = parameters ? mem_new((size_t)count, sizeof *items, "a request", err) : NULL;
    bool ok = items != NULL, saved = s->options->exchanges != NULL;
    for (int64_t i = 0; ok && i < run->prompt_count; i++) {
        ChatPrompt *p = &run->prompts[i];
        parameters[i] = run_parameters(s, r, run->seed, qm_engine_info(s->model.engine)->context - p->count, shape,
                                       saved ? &p->parameters : NULL, err);
        ok = parameters[i] != NULL;
        for (int64_t k = 0; ok && k < each; k++)
            items[i * each + k] = (JobItem){.ids = p->ids, .count = p->count, .parameters = parameters[i],
                                            .sequence = (uint64_t)(i * each + k), .chat = r->messages != NULL,
                                            .proof = r->proof || saved, .adapter = run->adapter};
    }
    if (!ok) refuse(run->call, err, r->wrong);
    JobOptions options = {.events = run->form->failed ? &events : &plain_events, .user = run,
                          .stream = run->request.stream ? run->form->stream_type : NULL, .ping = run->form->ping};
    int64_t prompts = run->prompt_count;
    if (ok) job_start(run->call, &options, items, count); /* the run is its own from here on */
    else run_free(run);
    for (int64_t i = 0; parameters && i < prompts; i++) qm_parameters_free(parameters[i]);
    free(parameters);
    free(items);
}

void chat_run_start(Call *call, ChatRequest *request, const ChatForm *form, void *state) {
    Err err = {0};
    ChatRun *run = mem_new(1, sizeof *run, "a request", &err);
    if (!run) {
        serve_failed(call, &err, NULL);
        chat_request_free(request);
        if (form->free && state) form->free(state);
        return;
    }
    *run = (ChatRun){.call = call, .request = *request, .body = json_incref(call->json), .form = form, .state = state,
                     .created = wall_seconds()};
    *request = (ChatRequest){0};
    run->seed = run->request.seeded ? run->request.seed : new_seed();
    new_id(form->prefix, run->id);
    run->model = server_model_name(call, *run->request.model ? run->request.model : NULL);
    if (run->model) run->adapter = server_adapter(call->server, run->model);
    AnswerShape shape = {0};
    bool ready = run->model && ready_prompts(run, &shape, &err) && logprobs_fit(run) && ready_choices(run, shape, &err);
    if (ready) start(run, shape, &err);
    else run_free(run);
}
