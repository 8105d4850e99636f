/* cli.h: the commands of the program. Each takes its own arguments (argv[0] is the command) and returns an exit code:
 * 0 ok, 1 failed, 2 usage, 130 interrupted. Messages go to stderr, results to stdout. */
#ifndef CLI_H
#define CLI_H
#include "../base/base.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef struct Command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} Command;

extern const Command commands[];   /* ends with a NULL name; so do these: */
extern const Command eval_tasks[]; /* by names of two words, "eval gsm8k" */

int cmd_train(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_grammar(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_chat(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_forward(int argc, char **argv);
int cmd_embed(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_env(int argc, char **argv);
int cmd_pull(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_compile(int argc, char **argv);
int cmd_pages(int argc, char **argv);

/* ---- Options: getopt_long behind one table per command ------------------------------------------------------- */

typedef enum OptionKind { OPTION_FLAG, OPTION_TEXT, OPTION_INT, OPTION_FLOAT, OPTION_TEXTS, OPTION_LINES } OptionKind;

/* What an option that may be given several times was given. OPTION_LINES has it as one text, a line each. */
enum { MOST_TEXTS = 64 };
typedef struct Texts { const char *item[MOST_TEXTS]; int count; } Texts;

typedef struct Option {
    const char *name;        /* long name, without dashes       */
    char letter;             /* short name, or 0                */
    OptionKind kind;
    void *value;             /* bool*, const char **, int64_t *, double *, Texts * */
    double low, high;        /* range of numbers                */
    const char *argument;    /* "DIR", "N", ...                 */
    const char *help;
    bool *given;             /* set when present, or NULL       */
} Option;

/* Rows of a table; after the help of one with an argument may follow &given. */
#define FLAG(n, l, v, h) {.name = n, .letter = l, .kind = OPTION_FLAG, .value = v, .help = h}
#define TEXT(n, l, v, a, ...) OPTION_ROW(n, l, OPTION_TEXT, v, 0, 0, a, __VA_ARGS__)
#define TEXTS(n, l, v, a, ...) OPTION_ROW(n, l, OPTION_TEXTS, v, 0, 0, a, __VA_ARGS__)
#define INT(n, l, v, lowest, highest, a, ...) OPTION_ROW(n, l, OPTION_INT, v, lowest, highest, a, __VA_ARGS__)
#define FLOAT(n, l, v, lowest, highest, a, ...) OPTION_ROW(n, l, OPTION_FLOAT, v, lowest, highest, a, __VA_ARGS__)
#define OPTION_ROW(n, l, k, v, lowest, highest, a, ...)                                                                \
    {.name = n, .letter = l, .kind = k, .value = v, .low = lowest, .high = highest, .argument = a, .help = __VA_ARGS__}

/* Parses argv by the table; --help / -h prints usage, options and `notes` on stdout. Returns -1 to go on (positional
 * arguments then are argv[*first..argc); with first NULL there may be none), or an exit code. Unknown options and bad
 * numbers name what was expected. */
int options_parse(int argc, char **argv, const char *usage, const char *notes, const Option *options, int count,
                  int *first);
/* Where set, options_parse hands each table to it and parses nothing: so manual and completions are made of them. */
typedef void OptionsTold(const char *command, const char *usage, const char *notes, const Option *options, int count);
extern OptionsTold *options_told;
/* How far a word is from what may have been meant; WORD_FAR: farther than a slip, of a letter of three. */
enum { WORD_FAR = 100 };
int word_distance(const char *word, const char *meant);
/* Asked before a model is opened: whether files can be written there, or read. NULL and "-" can. */
bool can_write(const char *path, Err *err);
bool can_read(const char *path, Err *err);
int fail(const Err *err);    /* prints "qwenmesh: error: ..." on stderr, returns the exit code of the error's kind */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif
