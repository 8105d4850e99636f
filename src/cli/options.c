/* options.c: command line options by table, and how errors are shown. */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../base/distance.h"
#include "cli.h"

enum { MAX_OPTIONS = 128, LONG_BASE = 1000 };

OptionsTold *options_told;

bool can_write(const char *path, Err *err) {
    if (!path || !strcmp(path, "-")) return true;
    const char *slash = strrchr(path, '/');
    char *folder = !slash ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    bool ok = folder != NULL || err_as(err, QM_MEMORY, "out of memory: path %s", path);
    if (ok && folder_exists(path)) ok = err_as(err, QM_IO, "cannot write %s: expected a file, got a folder", path);
    /* What is there may be written in place, as /dev/stdout; else a file is made beside it. */
    if (ok && access(path, W_OK) != 0 && access(folder, W_OK | X_OK) != 0)
        ok = err_as(err, QM_IO, "cannot write %s: %s", path, strerror(errno));
    free(folder);
    return ok;
}

bool can_read(const char *path, Err *err) {
    if (!path || !strcmp(path, "-") || access(path, R_OK) == 0) return true;
    return err_as(err, QM_IO, "cannot open %s: %s", path, strerror(errno));
}

/* Whether who read standard output has gone. */
static bool reader_left(void) {
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

int fail(const Err *err) {
    /* Who reads no more, as `| head`, knows why: nothing is said then. */
    if (err->kind && strstr(err->text, "cannot write standard output") && reader_left()) return EXIT_FAILED;
    fprintf(stderr, "qwenmesh: error: %s\n", err->kind ? err->text : "unknown");
    return err->kind ? err_exit_code(err) : EXIT_FAILED;
}

int usage_error(const char *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "qwenmesh %s: error: ", command);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry 'qwenmesh %s --help'.\n", command);
    return EXIT_USAGE;
}

/* ---- --help in lines of 80 --------------------------------------------------------------------------------------- */

enum { LINE = 80, HELP_AT = 30 };

/* Words of a text from column `at` on, later lines indented by `indent`; line ends of the text are kept. */
static void print_wrapped(const char *text, int at, int indent) {
    for (bool begun = false; *text;) {
        int word = (int)strcspn(text, " \n");
        if (begun && at + 1 + word > LINE) printf("\n%*s", indent, ""), at = indent, begun = false;
        at += printf("%s%.*s", begun ? " " : "", word, text);
        begun = true;
        text += word;
        if (*text == '\n') printf("\n%*s", text[1] ? indent : 0, ""), at = indent, begun = false;
        if (*text) text++;
    }
    printf("\n");
}

static void print_help(const char *usage, const char *notes, const Option *options, int count) {
    printf("Usage: qwenmesh ");
    print_wrapped(usage, 16, 10);
    printf("\nOptions:\n");
    for (int i = 0; i < count; i++) {
        const Option *o = &options[i];
        char letter[8] = "    ";
        if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
        int at = printf("  %s--%s%s%s", letter, o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        if (at + 2 > HELP_AT) printf("\n"), at = 0;
        printf("%*s", HELP_AT - at, "");
        print_wrapped(o->help, HELP_AT, HELP_AT);
    }
    printf("  %-*s%s\n", HELP_AT - 2, "-h, --help", "this text");
    if (notes) printf("\n"), print_wrapped(notes, 0, 0);
}

/* ---- What may have been meant ------------------------------------------------------------------------------------ */

/* Spellings of other programs (llama.cpp, transformers, vLLM), each with what it is called here; in capitals: the name
 * of an option that the command has to have for the hint to be given. */
static const struct { const char *theirs, *option, *hint; } spellings[] = {
    {"--ctx-size", "ctx", NULL}, {"--max-model-len", "ctx", NULL}, {"--n-ctx", "ctx", NULL},
    {"--predict", "n-predict", NULL}, {"--max-new-tokens", "n-predict", NULL}, {"--max-tokens", "n-predict", NULL},
    {"--n-tokens", "n-predict", NULL}, {"--temperature", "temp", NULL},
    {"--repetition-penalty", "repeat-penalty", NULL}, {"--batch-size", "rows", NULL}, {"-ub", "rows", NULL},
    {"--ubatch-size", "rows", NULL}, {"-tb", "threads", NULL}, {"--threads-batch", "threads", NULL},
    {"-ctk", "cache-type", NULL}, {"-ctv", "cache-type", NULL}, {"--cache-type-k", "cache-type", NULL},
    {"--cache-type-v", "cache-type", NULL}, {"--kv-cache-dtype", "cache-type", NULL}, {"-sys", "system", NULL},
    {"--system-prompt", "system", NULL}, {"-r", "stop", NULL}, {"--reverse-prompt", "stop", NULL},
    {"--grammar-file", "grammar", NULL}, {"-j", "json-schema", NULL}, {"--json-schema-file", "json-schema", NULL},
    {"-jf", "json-schema", NULL}, {"-md", "draft-model", NULL}, {"--model-draft", "draft-model", NULL},
    {"--draft", "lookup", NULL}, {"--draft-max", "lookup", NULL}, {"-np", "slots", NULL}, {"--parallel", "slots", NULL},
    {"--tensor-parallel-size", "mesh", NULL}, {"-tp", "mesh", NULL}, {"-ts", "mesh", NULL},
    {"--tensor-split", "mesh", NULL}, {"-sm", "mesh", NULL}, {"--split-mode", "mesh", NULL},
    {"--numa", "pin", NULL}, {"--cpu-strict", "pin", NULL}, {"--prompt-file", "file", NULL},
    {"--verbose-prompt", "verbose", NULL}, {"--dtype", "weights", NULL},
    {"-ngl", "plugin", "all layers are on the devices of --mesh; GPUs: --plugin cuda"},
    {"--gpu-layers", "plugin", "all layers are on the devices of --mesh; GPUs: --plugin cuda"},
    {"--n-gpu-layers", "plugin", "all layers are on the devices of --mesh; GPUs: --plugin cuda"},
    {"-fa", "model", "attention is always done in blocks: leave it out"},
    {"--flash-attn", "model", "attention is always done in blocks: leave it out"},
    {"--mlock", "model", "leave it out: `qwenmesh pack` makes files that are used where they are mapped"},
    {"--no-mmap", "model", "leave it out: `qwenmesh pack` makes files that are used where they are mapped"},
    {"-cnv", "model", "`qwenmesh chat` is a conversation"},
    {"--conversation", "model", "`qwenmesh chat` is a conversation"},
    {"-no-cnv", "model", "`run` without --chat takes the prompt as it is"},
    {"--interactive", "model", "`qwenmesh chat` is a conversation"},
    {"-hf", "model", "`qwenmesh pull OWNER/NAME` brings a model, -m opens it"},
    {"--hf-repo", "model", "`qwenmesh pull OWNER/NAME` brings a model, -m opens it"},
    {"--output-dir", "out", NULL}, {"--train-file", "data", NULL}, {"--validation-file", "eval-data", NULL},
    {"--dataset", "data", NULL}, {"--block-size", "seq-len", NULL}, {"--max-length", "seq-len", NULL},
    {"--max-seq-length", "seq-len", NULL}, {"--resume-from-checkpoint", "resume", NULL},
    {"--lr", "learning-rate", NULL},
    {"--save-total-limit", "keep", NULL}, {"--model-name-or-path", "model", NULL}, {"--config-name", "init", NULL},
    {"--tokenizer-name", "tokenizer", NULL}, {"--epochs", "num-train-epochs", NULL},
    {"--warmup-ratio", "warmup-steps", NULL},
    {"--lora-rank", "lora-r", NULL}, {"--lora-target-modules", "lora-targets", NULL}, {"--use-rslora", "rslora", NULL},
    {"--use-dora", "dora", NULL}, {"--gradient-checkpointing", "recompute", NULL}, {"--bf16", "recompute",
     "here it is --act bf16"},
    {"--do-train", "learning-rate", "leave it out: `qwenmesh train` does nothing else"},
    {"--do-eval", "learning-rate", "leave it out: --eval-data or --eval-split says it"},
    {"--eval-strategy", "learning-rate", "leave it out: --eval-steps says it"},
    {"--save-strategy", "learning-rate", "leave it out: --save-steps says it"},
    {"--overwrite-output-dir", "learning-rate", "leave it out: expected another -o DIR, or --resume"},
    {"--do-sample", "temp", "a temperature above 0 samples: --temp"},
};

int word_distance(const char *word, const char *meant) {
    int most = strlen(word) < 6 ? 1 : (int)strlen(word) / 3, d = text_distance(word, meant, most);
    return d > most ? WORD_FAR : d;
}

static const Option *option_named(const Option *options, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (!strcmp(options[i].name, name)) return &options[i];
    return NULL;
}

/* An unknown option, with what was probably meant. `word` may carry its value behind a '='. */
static int unknown_option(const char *command, const char *word, const Option *options, int count) {
    char name[64];
    const Option *best = NULL;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    for (char *c = name + 1; *c; c++)
        if (*c == '_') *c = '-';
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        const Option *o = option_named(options, count, spellings[i].option);
        if (!o || strcmp(name, spellings[i].theirs) != 0) continue;
        if (spellings[i].hint) return usage_error(command, "unknown option %s: %s", name, spellings[i].hint);
        return usage_error(command, "unknown option %s: here it is --%s", name, o->name);
    }
    const char *bare = name + strspn(name, "-");
    int least = WORD_FAR; /* 0: one dash, or '_' for '-' */
    for (int i = 0; i < count; i++) {
        int d = word_distance(bare, options[i].name);
        if (d < least) best = &options[i], least = d;
    }
    if (best && strlen(bare) > 1) return usage_error(command, "unknown option %s: did you mean --%s?", word,
                                                     best->name);
    return usage_error(command, "unknown option %s", word);
}

/* A word of several letters behind one dash that another program knows, "-ngl", would be read as the letter n and its
 * value. Returns it if it stands where an option is expected. */
static const char *foreign_word(int argc, char **argv, const Option *options, int count) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const Option *o = NULL;
        if (argv[i][0] != '-') continue;
        for (int k = 0; k < count; k++)
            if ((argv[i][1] == '-' && !strcmp(argv[i] + 2, options[k].name)) ||
                (argv[i][1] && argv[i][1] == options[k].letter && !argv[i][2]))
                o = &options[k];
        if (o) {
            i += o->kind != OPTION_FLAG; /* its value */
            continue;
        }
        for (size_t k = 0; argv[i][1] != '-' && k < sizeof spellings / sizeof *spellings; k++)
            if (!strcmp(argv[i], spellings[k].theirs) && option_named(options, count, spellings[k].option))
                return argv[i];
    }
    return NULL;
}

/* ---- Parsing ----------------------------------------------------------------------------------------------------- */

static int bad_number(const char *command, const Option *o, const char *text) {
    if (o->kind == OPTION_TEXTS) return usage_error(command, "--%s: given more than %d times", o->name, MOST_TEXTS);
    if (o->kind == OPTION_LINES) return usage_error(command, "--%s: given too often", o->name);
    if (o->kind == OPTION_INT)
        return usage_error(command, "--%s: expected a whole number from %lld to %lld, got '%s'", o->name,
                           (long long)o->low, (long long)o->high, text);
    return usage_error(command, "--%s: expected a number from %g to %g, got '%s'", o->name, o->low, o->high, text);
}

/* A text with one more line; NULL: there is no room. Lives as long as the program. */
static const char *line_add(const char *text, const char *line) {
    static char room[1 << 16];
    static size_t used;
    size_t left = sizeof room - used;
    int bytes = snprintf(room + used, left, "%s%s%s", text ? text : "", text ? "\n" : "", line);
    if (bytes < 0 || (size_t)bytes >= left) return NULL;
    used += (size_t)bytes + 1;
    return room + used - bytes - 1;
}

/* Stores one option's argument. False when it is not what the table wants. */
static bool option_store(const Option *o, const char *text) {
    if (o->given) *o->given = true;
    switch (o->kind) {
    case OPTION_FLAG: *(bool *)o->value = true; return true;
    case OPTION_TEXT: *(const char **)o->value = text; return true;
    case OPTION_TEXTS: {
        Texts *list = o->value;
        if (list->count == MOST_TEXTS) return false;
        list->item[list->count++] = text;
        return true;
    }
    case OPTION_LINES: return (*(const char **)o->value = line_add(*(const char **)o->value, text)) != NULL;
    case OPTION_INT: return parse_int(text, (int64_t)o->low, (int64_t)o->high, o->value);
    case OPTION_FLOAT: return parse_float(text, o->low, o->high, o->value);
    }
    return false;
}

int options_parse(int argc, char **argv, const char *usage, const char *notes, const Option *options, int count,
                  int *first) {
    assert(count <= MAX_OPTIONS);
    if (options_told) {
        options_told(argv[0], usage, notes, options, count);
        return EXIT_OK;
    }
    struct option longs[MAX_OPTIONS + 2] = {{0}};
    char shorts[3 * MAX_OPTIONS + 4] = ":h";
    for (int i = 0; i < count; i++) {
        longs[i] = (struct option){options[i].name, options[i].kind != OPTION_FLAG, NULL, LONG_BASE + i};
        if (options[i].letter) {
            char s[3] = {options[i].letter, options[i].kind != OPTION_FLAG ? ':' : 0, 0};
            strcat(shorts, s);
        }
    }
    longs[count] = (struct option){"help", no_argument, NULL, 'h'};
    const char *foreign = foreign_word(argc, argv, options, count);
    if (foreign) return unknown_option(argv[0], foreign, options, count);
    optind = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        const Option *o = NULL;
        if (c == 'h') {
            print_help(usage, notes, options, count);
            return EXIT_OK;
        }
        const char *shown = optind > 0 && optind <= argc ? argv[optind - 1] : "?";
        if (c == ':') return usage_error(argv[0], "option %s needs an argument", shown);
        if (c == '?' && optopt && optopt >= LONG_BASE)
            return usage_error(argv[0], "option --%s takes no value", options[optopt - LONG_BASE].name);
        if (c == '?' && optopt && shown[0] == '-' && shown[1] != '-' && shown[1] && shown[2])
            return unknown_option(argv[0], shown, options, count);
        if (c == '?' && optopt) {
            const char word[] = {'-', (char)optopt, 0};
            return unknown_option(argv[0], word, options, count);
        }
        if (c == '?') return unknown_option(argv[0], shown, options, count);
        for (int i = 0; i < count; i++)
            if (c == LONG_BASE + i || (options[i].letter && c == options[i].letter)) o = &options[i];
        if (o && !option_store(o, optarg))
            return bad_number(argv[0], o, optarg);
    }
    if (first) *first = optind;
    else if (optind < argc) return usage_error(argv[0], "unexpected argument '%s'", argv[optind]);
    return -1;
}
