/* options.c: command line options by table, and how errors are shown. */
#include <assert.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

enum { MAX_OPTIONS = 128, LONG_BASE = 1000 };

OptionsTold *options_told;

int fail(const Err *err) {
    fprintf(stderr, "qwenmesh: error: %s\n", err->set ? err->text : "unknown");
    return EXIT_FAILED;
}

int usage_error(const char *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "qwenmesh %s: ", command);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry 'qwenmesh %s --help'.\n", command);
    return EXIT_USAGE;
}

static void print_help(const char *usage, const char *notes, const Option *options, int count) {
    printf("Usage: qwenmesh %s\n\nOptions:\n", usage);
    for (int i = 0; i < count; i++) {
        char left[64], letter[8] = "    ";
        if (options[i].letter) snprintf(letter, sizeof letter, "-%c, ", options[i].letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, options[i].name, options[i].argument ? " " : "",
                 options[i].argument ? options[i].argument : "");
        printf("  %-30s %s\n", left, options[i].help);
    }
    printf("  %-30s %s\n", "-h, --help", "this text");
    if (notes) printf("\n%s\n", notes);
}

/* Stores one option's argument. False when it is not what the table wants. */
static bool option_store(const Option *o, const char *text) {
    if (o->given) *o->given = true;
    switch (o->kind) {
    case OPTION_FLAG: *(bool *)o->value = true; return true;
    case OPTION_TEXT: *(const char **)o->value = text; return true;
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
        if (c == '?' && optopt) return usage_error(argv[0], "unknown option -%c", optopt);
        if (c == '?') return usage_error(argv[0], "unknown option %s", shown);
        for (int i = 0; i < count; i++)
            if (c == LONG_BASE + i || (options[i].letter && c == options[i].letter)) o = &options[i];
        if (o && !option_store(o, optarg))
            return usage_error(argv[0], "--%s: expected a number from %g to %g, got '%s'", o->name, o->low, o->high,
                               optarg);
    }
    if (first) *first = optind;
    else if (optind < argc) return usage_error(argv[0], "unexpected argument '%s'", argv[optind]);
    return -1;
}
