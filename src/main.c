/* main.c: which command is meant, and the only exit of the program. */
#include <string.h>
#include <unistd.h>
#include "base/guard.h"
#include "base/transport.h"
#include "cli/model_options.h"
#include "cli/watch_terminal.h"
#include "infer/follow.h"
#include "infer/lead.h"
#include "io/libraries.h"
#include "train/follow_train.h"

static int help(FILE *out) {
    fprintf(out,
            "qwenmesh %s: Qwen2.5 and its relatives, tensor-parallel on any mesh.\n\n"
            "Usage: qwenmesh COMMAND [options]    (qwenmesh COMMAND --help lists them)\n\nCommands:\n",
            QM_VERSION);
    for (const Command *c = commands; c->name; c++)
        fprintf(out, "  %-10s %s\n", c->name, c->summary);
    return out == stdout ? EXIT_OK : EXIT_USAGE;
}

static int command(int argc, char **argv) {
    if (argc < 2) return help(stderr);
    if (!strcmp(argv[1], "help") && argc > 2) { /* help COMMAND is COMMAND --help */
        char *asked[] = {argv[0], argv[2], (char *)(uintptr_t) "--help", NULL};
        return strcmp(argv[2], "help") ? command(3, asked) : help(stdout);
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) return help(stdout);
    if (!strcmp(argv[1], "--version")) return printf("qwenmesh %s\n", QM_VERSION) < 0;
    if (!strcmp(argv[1], "pages")) return cmd_pages(argc - 1, argv + 1);
    for (const Command *c = commands; c->name; c++)
        if (!strcmp(argv[1], c->name)) return c->run(argc - 1, argv + 1);
    const Command *best = NULL;
    int least = WORD_FAR;
    for (const Command *c = commands; c->name; c++)
        if (word_distance(argv[1], c->name) < least) best = c, least = word_distance(argv[1], c->name);
    fprintf(stderr, "qwenmesh: error: unknown command '%s'%s%s%s\nTry 'qwenmesh --help'.\n", argv[1],
            best ? ": did you mean " : "", best ? best->name : "", best ? "?" : "");
    return EXIT_USAGE;
}

/* Under mpirun: rank 0 is the program, the others follow it. */
static int command_spread(int argc, char **argv) {
    Err err = {0};
    if (!transport_start(argc, argv, &err)) {
        int failed = transport_rank() == 0 ? fail(&err) : EXIT_FAILED; /* every rank has found the same */
        transport_end();
        return failed;
    }
    if (transport_rank() > 0) watch_terminal(QM_FATAL); /* rank 0 says the rest */
    int code = transport_rank() == 0 ? command(argc, argv) : follow(train_follow);
    if (transport_rank() == 0) lead_end();
    transport_end();
    return code;
}

int main(int argc, char **argv) {
    Err err = {0};
    guard_start();
    watch_terminal(QM_WARNING);
    libraries_start();
    int code = transport_wanted() ? command_spread(argc, argv) : command(argc, argv);
    model_sources_close();
    if (code != EXIT_OK || (file_finish(stdout, "standard output", &err) && files_unchanged(&err))) return code;
    return fail(&err);
}
