/* cmd_bench.c: `bench`: llama-bench's tests and table, per mesh, beside the read bandwidth and the peak of the same
 * run. */
#include <stdlib.h>
#include <string.h>
#include "../bench/bench.h"
#include "eval_tasks.h"
#include "model_options.h"

/* "512,1024" to numbers; false when it is no list of numbers from low to high. */
static bool parse_list(const char *text, int64_t low, int64_t high, int64_t out[BENCH_LIST], int *count) {
    char copy[256], *save = NULL;
    *count = 0;
    if (strlen(text) >= sizeof copy || strstr(text, ",,") || !*text || text[strlen(text) - 1] == ',') return false;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save))
        if (*count == BENCH_LIST || !parse_int(word, low, high, &out[(*count)++])) return false;
    return true;
}

typedef struct Owner {
    ModelOptions *model;
    bool noted;
    const char *format;
    bool begun;         /* the head is printed */
} Owner;

/* Rows appear as they come. */
static bool print_row(void *owner, const Bench *b, int i, Err *err) {
    Owner *o = owner;
    Text text = {0};
    if (!o->begun) bench_head(b, o->format, &text);
    o->begun = true;
    bench_row(b, o->format, i, &text);
    bool ok = text_ok(&text, "results", err) &&
              (!text.bytes || file_put(stdout, text.data, text.bytes, "standard output", err));
    text_free(&text);
    return ok;
}

static QmEngine *open_mesh(void *owner, const char *mesh, int64_t slots, int64_t context, Err *err) {
    Owner *o = owner;
    ModelOptions m = *o->model;
    m.engine.mesh = mesh;
    m.engine.slots = slots;
    if (m.engine.context == 0) m.engine.context = context;
    if (m.engine.context < context - BENCH_WARM)
        return err_as(err, QM_USAGE, "--ctx %lld: the tests need a context of %lld", (long long)m.engine.context,
                      (long long)context - BENCH_WARM), NULL;
    char folder[FOLDER_BYTES];
    QmEngineOptions options = model_engine_options(&m, folder);
    QmSource *source = model_source(m.engine.model, err);
    QmEngine *e = source ? qm_engine_open_from(source, &options, err) : NULL;
    if (e && !o->noted) model_note_idle(&m, qm_engine_info(e)); /* of one mesh as of all */
    o->noted = o->noted || e;
    return e;
}

static bool meshes_of(Bench *b, const char *list) {
    char copy[256], *save = NULL;
    snprintf(copy, sizeof copy, "%s", list ? list : "1x1");
    /* a named mesh has a comma of its own: "dp2,tp4" is one mesh */
    for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        bool joined = b->meshes && !strncmp(word, "tp", 2) && !strncmp(b->mesh[b->meshes - 1].name, "dp", 2) &&
                      !strchr(b->mesh[b->meshes - 1].name, ',');
        if (!joined && b->meshes == BENCH_MESHES) return false;
        char *name = b->mesh[b->meshes - joined].name;
        size_t used = joined ? strlen(name) : 0;
        snprintf(name + used, sizeof b->mesh[0].name - used, "%s%.30s", joined ? "," : "", word);
        b->meshes += !joined;
    }
    return b->meshes > 0;
}

int cmd_bench(int argc, char **argv) {
    ModelOptions m = {.engine.act = ACT_DEFAULT};
    int64_t repeats = 5;
    const char *prompt = "512", *gen = "128", *depth = "0", *batch = "1", *format = "md", *config = NULL,
               *type = "bf16";
    bool apart = false;
    const bool *phases = &m.engine.phases;
    MeshEval eval = {.limit = 50};
    const Option options[] = {
        TEXT("n-prompt", 'p', &prompt, "N,...", "tokens of prefill tests (default 512; 0: none)"),
        TEXT("n-gen", 'n', &gen, "N,...", "tokens of decode tests (default 128; 0: none)"),
        TEXT("n-depth", 'd', &depth, "N,...", "tokens already in the cache (default 0)"),
        TEXT("batch", 'b', &batch, "N,...", "sequences decoded together (default 1)"),
        INT("repetitions", 'r', &repeats, 1, BENCH_REPEATS, "N", "repetitions (default 5)"),
        TEXT("output", 'o', &format, "md|csv|json|svg", "md (default), csv, json or svg"),
        TEXT("random", 0, &config, "CONFIG", "the shape of this config.json with generated weights"),
        TEXT("random-type", 0, &type, "TYPE", "their type: bf16 (default), f32, q8_0, q4_0, q4_k, ..."),
        FLAG("apart", 0, &apart, "one mesh after another, even where memory holds all"),
        FLAG("phases", 0, &m.engine.phases, "time of every phase of a step (CPU engine; md, json)"),
        MESH_EVAL_OPTIONS(eval),
        MODEL_OPTIONS(m),
        CHAT_TEMPLATE_OPTION(m),
    };
    int code =
        options_parse(argc, argv, "bench -m MODEL | --random CONFIG [--mesh 1x1,2x4,...] [options]",
                      "--mesh takes a list here; repetitions alternate between its meshes, and the column after t/s\n"
                      "is the median ratio to the first one.",
                      options, (int)(sizeof options / sizeof *options), NULL);
    if (code >= 0) return code;
    if (!eval.task && (eval.html || eval.data || eval.protocol || m.chat_template))
        return usage_error("bench", "--html, --data, --protocol and --chat-template: expected --eval with them");
    if (eval.task && (*phases || strcmp(format, "md")))
        return usage_error("bench", "--eval: expected neither --phases nor -o %s with it",
                           *phases ? "FORMAT" : format);
    if (eval.task) return bench_meshes(&m, &eval);
    int64_t list[4][BENCH_LIST];
    int count[4];
    const char *texts[] = {prompt, gen, depth, batch}, *names[] = {"-p", "-n", "-d", "-b"};
    for (int i = 0; i < 4; i++)
        if (!parse_list(texts[i], i == 3, i == 3 ? 1024 : 1 << 20, list[i], &count[i]))
            return usage_error("bench", "%s: expected up to %d numbers from %d to %d with commas between, got '%.60s'",
                               names[i], BENCH_LIST, i == 3, i == 3 ? 1024 : 1 << 20, texts[i]);
    if (!bench_format(format)) return usage_error("bench", "-o: expected md, csv, json or svg, got '%.20s'", format);
    if (*phases && strcmp(format, "md") && strcmp(format, "json"))
        return usage_error("bench", "--phases: expected -o md or json, got '%.20s'", format);
    if (m.engine.model && config) return usage_error("bench", "expected -m or --random, not both");
    if (config) m.engine.model = config, m.engine.random = type;
    if (!m.engine.model) return usage_error("bench", "no model: expected -m DIR, -m FILE or --random CONFIG");
    if (m.engine.mesh && strlen(m.engine.mesh) >= 256) return usage_error("bench",
                                                                          "--mesh: the list is longer than 255 bytes");
    Err err = {0};
    Text text = {0};
    Owner owner = {.model = &m, .format = format};
    Bench *b = mem_new(1, sizeof *b, "bench", &err);
    if (!b) return fail(&err);
    *b = (Bench){.repeats = (int)repeats,
                 .warm_whole = m.engine.plugin || (m.engine.backend && !strcmp(m.engine.backend, "pjrt")),
                 .open = open_mesh, .done = print_row, .owner = &owner};
    const char *slash = strrchr(m.engine.model, '/');
    const char *last = slash && slash[1] ? slash + 1 : m.engine.model;
    snprintf(b->model, sizeof b->model, "%s%s", config ? "random " : "", name_text(last, strlen(last)).text);
    if (!meshes_of(b, m.engine.mesh)) code = usage_error("bench", "--mesh: expected 1 to %d meshes", BENCH_MESHES);
    else if (!bench_tests(b, list[0], count[0], list[1], count[1], list[2], count[2], list[3], count[3], &err))
        code = usage_error("bench", "nothing to measure: -p and -n are both 0");
    else {
        bool ok = bench_run(b, !apart, &err) && bench_tail(b, format, &text, &err) &&
                  (!text.bytes || file_put(stdout, text.data, text.bytes, "standard output", &err));
        code = ok ? EXIT_OK : fail(&err);
    }
    text_free(&text);
    bench_free(b);
    free(b);
    return code;
}
