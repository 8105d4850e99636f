/* gsm8k.c: reading the data set; the table of protocols; prompts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "../base/lines.h"
#include "cot_examples.h"
#include "gsm8k.h"
#include "python_random.h"

enum { MAX_PROBLEMS = 1 << 20 };

static bool problem_add(Problems *p, const json_t *o, const char *where, Err *err) {
    const char *question = NULL, *answer = NULL;
    if (!json_get_text(o, "question", where, &question, err) || !json_get_text(o, "answer", where, &answer, err))
        return false;
    if (!question || !answer) return err_set(err, "%s: expected \"question\" and \"answer\"", where);
    if (p->count == MAX_PROBLEMS) return err_as(err, QM_LIMIT, "%s: more than %d questions", where, MAX_PROBLEMS);
    if (!mem_grow((void **)&p->item, &p->room, (size_t)p->count + 1, sizeof *p->item, "questions", err)) return false;
    Problem *q = &p->item[p->count];
    *q = (Problem){strdup(question), strdup(answer)};
    p->count++;
    return (q->question && q->answer) || err_as(err, QM_MEMORY, "out of memory: questions");
}

bool problems_read(Problems *p, const char *path, Err *err) {
    Lines lines;
    Line line;
    *p = (Problems){0};
    snprintf(p->path, sizeof p->path, "%s", path);
    if (!lines_open(&lines, path, err)) return false;
    while (lines_next(&lines, &line, err)) {
        json_t *o = json_text(line.data, line.bytes, line.where, err);
        if (o) problem_add(p, o, line.where, err);
        json_decref(o);
        if (err->kind) break;
    }
    lines_close(&lines);
    if (!err->kind && p->count == 0) err_set(err, "%s holds no questions", path);
    return !err->kind;
}

void problems_free(Problems *p) {
    for (int64_t i = 0; i < p->count; i++) free(p->item[i].question), free(p->item[i].answer);
    free(p->item);
    *p = (Problems){0};
}

bool gsm8k_find(const char *data, const char *file, char *path, size_t bytes, Err *err) {
    static const char *const places[] = {"data/gsm8k", "tests/data/gsm8k"};
    if (data && file_exists(data) && !strcmp(file, "test.jsonl")) return snprintf(path, bytes, "%s", data) < (int)bytes;
    for (size_t i = 0; i < (data ? 1 : sizeof places / sizeof *places); i++) {
        int n = snprintf(path, bytes, "%s/%s", data ? data : places[i], file);
        if (n < (int)bytes && file_exists(path)) return true;
    }
    return err_set(err, "no GSM8K %s in %s: expected --data FOLDER with the file of that name from "
                        "https://github.com/openai/grade-school-math (grade_school_math/data)",
                   file, data ? data : "data/gsm8k or tests/data/gsm8k");
}

/* ---- The protocols ----------------------------------------------------------------------------------------------- */

static void ask_openai(const char *q, const char *a, Text *out) { text_line(out, "%s\n%s", q, a ? a : ""); }
static void ask_lm_eval(const char *q, const char *a, Text *out) {
    text_line(out, "Question: %s\nAnswer:%s%s", q, a ? " " : "", a ? a : "");
}
static void ask_cot(const char *q, const char *a, Text *out) {
    text_line(out, "Q: %s\nA:%s%s", q, a ? " " : "", a ? a : "");
}
/* With examples, the harness's format "cot"; a prompt loses its outer spaces. */
static void ask_qwen(const char *q, const char *a, Text *out) {
    while (*q == ' ' || *q == '\n' || *q == '\t') q++;
    text_line(out, "Question: %s\nAnswer:%s%s", q, a ? " " : "", a ? a : "");
}

#define LM_EVAL_STOPS "</s>", "<|im_end|>"

const Protocol protocols[] = {
    {.name = "openai",
     .task = "gsm8k_openai",
     .version = "-",
     .summary = "the question and a newline; the number after the first #### as an exact string",
     .max_new_tokens = 400,
     .rule = {&answer_openai},
     .rules = 1,
     .draws = true,
     .ask = ask_openai,
     .joint = "\n\n"},
    {.name = "lm-eval",
     .task = "gsm8k",
     .version = "3",
     .summary = "lm-evaluation-harness gsm8k: 5 examples drawn from train, strict-match and flexible-extract",
     .shots = 5,
     .max_new_tokens = 256,
     .stop = {"Question:", LM_EVAL_STOPS},
     .rule = {&answer_flexible, &answer_strict},
     .rules = 2,
     .draws = true,
     .model_config = true,
     .cuts = true,
     .ask = ask_lm_eval,
     .joint = "\n\n"},
    {.name = "lm-eval-cot",
     .task = "gsm8k_cot",
     .version = "3",
     .summary = "lm-evaluation-harness gsm8k_cot: the 8 examples of Wei et al. 2022",
     .shots = COT_EXAMPLES,
     .max_new_tokens = 256,
     .stop = {"Q:", LM_EVAL_STOPS},
     .rule = {&answer_cot_flexible, &answer_cot_strict},
     .rules = 2,
     .model_config = true,
     .cuts = true,
     .ask = ask_cot,
     .joint = "\n\n"},
    {.name = "qwen-math",
     .task = "gsm8k_qwen_math",
     .version = "-",
     .summary = "Qwen2.5-Math's harness: zero-shot chat, \\boxed{}; with --shots, its plain format \"cot\"",
     .max_new_tokens = 2048,
     .stop = {LM_EVAL_STOPS, "<|endoftext|>", "\n\nQuestion:"},
     .rule = {&answer_qwen_math},
     .rules = 1,
     .chat = true,
     .ask = ask_qwen,
     .joint = "\n\n\n",
     .system = "Please reason step by step, and put your final answer within \\boxed{}."},
    {.name = "tt-xla",
     .task = "gsm8k_tt_xla",
     .version = "-",
     .summary =
         "the rule of tt-xla's Qwen2.5 port: zero-shot chat, digits only, also of gold answers (16 are read wrong)",
     .max_new_tokens = 350,
     .rule = {&answer_tt_xla},
     .rules = 1,
     .chat = true,
     .draws = true,
     .ask = ask_openai,
     .joint = "\n\n",
     .system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."},
    {0},
};

const Protocol *protocol_find(const char *name, Err *err) {
    char known[256] = "";
    for (const Protocol *p = protocols; p->name; p++) {
        if (!strcmp(p->name, name)) return p;
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", p->name);
    }
    err_set(err, "protocol: expected one of %s, got '%.40s'", known, name);
    return NULL;
}

uint32_t *fewshot_draws(int64_t questions, int64_t shots, int64_t train, uint64_t seed, Err *err) {
    uint32_t *draws = mem_new((size_t)(questions * shots), sizeof *draws, "draws of examples", err);
    PythonRandom r;
    python_random_seed(&r, seed);
    for (int64_t i = 0; draws && i < questions; i++)
        if (!python_random_sample(&r, (uint32_t)train, (uint32_t)shots, draws + i * shots, err)) {
            free(draws);
            return NULL;
        }
    return draws;
}

/* ---- Prompts ----------------------------------------------------------------------------------------------------- */

static bool add_message(json_t *list, const char *role, const char *content, Err *err) {
    return json_array_append_new(list, json_pack("{s:s,s:s}", "role", role, "content", content)) == 0 ||
           err_set(err, "a question is not valid UTF-8");
}

typedef struct Example { const char *question, *answer; } Example;

static Example example_of(const Protocol *p, const Problems *train, const uint32_t *draws, int64_t i) {
    if (!p->draws) return (Example){cot_examples[i].question, cot_examples[i].answer};
    return (Example){train->item[draws[i]].question, train->item[draws[i]].answer};
}

/* One user turn: the question as it is asked. */
static bool add_asked(const Protocol *p, json_t *list, const char *question, Err *err) {
    Text t = {0};
    p->ask(question, NULL, &t);
    bool ok = text_ok(&t, "prompt", err) && add_message(list, "user", t.data, err);
    text_free(&t);
    return ok;
}

static bool put_messages(json_t *list, Text *out, Err *err) {
    char *text = json_dumps(list, JSON_COMPACT);
    if (text) text_add(out, text, strlen(text));
    free(text);
    return text ? text_ok(out, "prompt", err) : err_as(err, QM_MEMORY, "out of memory: a prompt");
}

bool gsm8k_prompt(const Protocol *p, const Problems *train, const uint32_t *draws, int64_t shots, const char *question,
                  PromptForm form, Text *out, bool *chat, Err *err) {
    Text plain = {0};
    json_t *list = json_array();
    bool ok = list || err_as(err, QM_MEMORY, "out of memory: a prompt"), turns = form == FORM_TURNS && shots > 0;
    *chat = form != FORM_PLAIN || (p->chat && shots == 0);
    if (ok && *chat && p->chat && p->system) ok = add_message(list, "system", p->system, err);
    for (int64_t i = 0; ok && i < shots; i++) {
        Example e = example_of(p, train, draws, i);
        if (turns) {
            ok = add_asked(p, list, e.question, err) && add_message(list, "assistant", e.answer, err);
        } else {
            p->ask(e.question, e.answer, &plain);
            text_line(&plain, "%s", p->joint);
        }
    }
    if (turns) ok = ok && add_asked(p, list, question, err);
    else if (p->chat && shots == 0) text_line(&plain, "%s", question);
    else p->ask(question, NULL, &plain);
    ok = ok && text_ok(&plain, "prompt", err);
    if (ok && *chat) ok = (turns || add_message(list, "user", plain.data, err)) && put_messages(list, out, err);
    else if (ok) text_add(out, plain.data, plain.bytes), ok = text_ok(out, "prompt", err);
    json_decref(list);
    text_free(&plain);
    return ok;
}
