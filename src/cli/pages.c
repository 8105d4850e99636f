/* pages.c: `pages FORM`: the manual page and the completions of shells, made of the tables of commands and options, so
 * that they say what --help says. Not in the list of commands: `make install` is who calls it. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

enum { PAGES_MOST = 32, PAGES_OPTIONS = 96, COMMON_LEAST = 4 };

/* One command as its table tells it; the strings of options live as long as the program. */
typedef struct Page {
    const Command *command;
    char *usage, *notes;     /* owned */
    Option option[PAGES_OPTIONS];
    int count;
} Page;

static Page page[PAGES_MOST];
static int pages;

static void told(const char *command, const char *usage, const char *notes, const Option *options, int count) {
    (void)command;
    Page *p = &page[pages];
    p->usage = strdup(usage);
    p->notes = notes ? strdup(notes) : NULL;
    p->count = count < PAGES_OPTIONS ? count : PAGES_OPTIONS;
    memcpy(p->option, options, (size_t)p->count * sizeof *options);
}

/* The tasks of a command that has some, as `eval`. */
static const Command *parts_of(const Command *c) { return c->run == cmd_eval ? eval_tasks : NULL; }

/* The last word of a command's name. */
static const char *word_of(const Command *c) { return strrchr(c->name, ' ') ? strrchr(c->name, ' ') + 1 : c->name; }

static bool pages_collect(const Command *list, Err *err) {
    for (const Command *c = list; c->name; c++) {
        const Command *parts = parts_of(c);
        if (parts && !pages_collect(parts, err)) return false;
        if (parts) continue;
        char *argv[] = {(char *)(uintptr_t)c->name, NULL};
        if (pages == PAGES_MOST) return err_as(err, QM_LIMIT, "more than %d commands", PAGES_MOST);
        if (c->run(1, argv) != EXIT_OK || !page[pages].usage) return err_set(err, "%s: no table of options", c->name);
        page[pages++].command = c;
    }
    return true;
}

static void pages_free(void) {
    for (int i = 0; i < pages; i++) free(page[i].usage), free(page[i].notes);
}

/* ---- What an argument may be ------------------------------------------------------------------------------------- */

/* "f32|bf16": words that are themselves; DIR, FILE and their like: paths; other capitals stand for free text. */
typedef struct Values { bool free, files, folders; char words[160]; } Values;

static Values values_of(const Option *o) {
    Values v = {.free = o->kind == OPTION_INT || o->kind == OPTION_FLOAT};
    for (const char *at = o->kind == OPTION_TEXT ? o->argument : ""; *at;) {
        int n = (int)strcspn(at, "|");
        const bool file = !strncmp(at, "FILE", 4) || !strncmp(at, "PATH", 4) || !strncmp(at, "MODEL", 5) ||
                          !strncmp(at, "CONFIG", 6);
        size_t used = strlen(v.words);
        if (file) v.files = true;
        else if (!strncmp(at, "DIR", 3)) v.folders = true;
        else if (isupper((unsigned char)*at)) v.free = true;
        else snprintf(v.words + used, sizeof v.words - used, "%s%.*s", used ? " " : "", n, at);
        at += n + (at[n] == '|');
    }
    return v;
}

/* ---- The manual -------------------------------------------------------------------------------------------------- */

/* Text for roff: hyphens that can be copied, no request at the start of a line. */
static void roff(Text *out, const char *text) {
    for (const char *c = text; *c; c++) {
        if ((c == text || c[-1] == '\n') && (*c == '.' || *c == '\'')) text_line(out, "\\&");
        if (*c == '\\') text_line(out, "\\e");
        else if (*c == '-') text_line(out, "\\-");
        else if (*c == '~') text_line(out, "\\(ti");
        else if (*c == '^') text_line(out, "\\(ha");
        else if (*c == '`') text_line(out, "\\(ga");
        else if (*c == '\'') text_line(out, "\\(aq");
        else text_add(out, c, 1);
    }
}

static bool same_option(const Option *a, const Option *b) {
    return !strcmp(a->name, b->name) && a->letter == b->letter && !strcmp(a->help, b->help);
}

/* Options that several commands have in the same words are described once. */
static bool is_common(const Option *o) {
    int found = 0;
    for (int i = 0; i < pages; i++)
        for (int j = 0; j < page[i].count; j++) found += same_option(&page[i].option[j], o);
    return found >= COMMON_LEAST;
}

static void roff_option(Text *out, const Option *o) {
    text_line(out, ".TP\n");
    if (o->letter) text_line(out, "\\fB\\-%c\\fR, ", o->letter);
    text_line(out, "\\fB\\-\\-");
    roff(out, o->name);
    text_line(out, "\\fR");
    if (o->kind != OPTION_FLAG) {
        text_line(out, " \\fI");
        roff(out, o->argument);
        text_line(out, "\\fR");
    }
    text_line(out, "\n");
    roff(out, o->help);
    text_line(out, "\n");
}

static void roff_common(Text *out) {
    text_line(out, ".SH OPTIONS OF SEVERAL COMMANDS\n");
    for (int i = 0; i < pages; i++)
        for (int j = 0; j < page[i].count; j++) {
            bool before = false;
            for (int k = 0; k < i; k++)
                for (int l = 0; l < page[k].count; l++)
                    before |= same_option(&page[k].option[l], &page[i].option[j]);
            if (!before && is_common(&page[i].option[j])) roff_option(out, &page[i].option[j]);
        }
}

static void roff_page(Text *out, const Page *p) {
    text_line(out, ".SS ");
    roff(out, p->command->name);
    text_line(out, "\n");
    roff(out, p->command->summary);
    text_line(out, ".\n.PP\n.B qwenmesh ");
    roff(out, p->usage);
    text_line(out, "\n");
    for (int i = 0; i < p->count; i++)
        if (!is_common(&p->option[i])) roff_option(out, &p->option[i]);
    int common = 0;
    for (int i = 0; i < p->count; i++) {
        if (!is_common(&p->option[i])) continue;
        text_line(out, "%s\\fB\\-\\-", common++ ? ", " : ".PP\nAlso, as below: ");
        roff(out, p->option[i].name);
        text_line(out, "\\fR");
    }
    if (common) text_line(out, ".\n");
    if (!p->notes) return;
    text_line(out, ".PP\n.nf\n");
    roff(out, p->notes);
    text_line(out, "\n.fi\n");
}

static const char *const environment[][2] = {
    {"HF_TOKEN, HF_ENDPOINT", "Access token and address of the Hugging Face hub, for pull."},
    {"XDG_CACHE_HOME",
     "Where compiled PJRT programs and digests of models are kept, in a folder qwenmesh (else ~/.cache)."},
    {"QWENMESH_PLUGIN_CPU, _TT, _CUDA, _TPU", "File of the PJRT plugin of that name."},
    {"QWENMESH_PJRT_COORDINATOR", "HOST[:PORT] by which other ranks reach rank 0 with a PJRT plugin."},
    {"QWENMESH_MPI_LIBRARY", "File of qwenmesh-mpi.so, if not where it was installed."},
    {"QWENMESH_MPI_TIMEOUT", "Seconds after which a rank that is silent ends all (120)."},
};

static void manual(Text *out) {
    text_line(out, ".TH QWENMESH 1 \"\" \"qwenmesh %s\" \"User Commands\"\n.SH NAME\n", QM_VERSION);
    text_line(out, "qwenmesh \\- run Qwen2.5 and its relatives, tensor\\-parallel on any mesh of devices\n"
                   ".SH SYNOPSIS\n.B qwenmesh\n.I COMMAND\n.RI [ options ]\n.br\n.B qwenmesh\n.I COMMAND\n"
                   ".B \\-\\-help\n.br\n.B qwenmesh \\-\\-version\n.SH DESCRIPTION\n"
                   "A model is a Hugging Face folder (config.json, safetensors, tokenizer.json), a GGUF file, or a "
                   "file that\n.B pack\nmade. Its logits have the same bits whatever the mesh, the threads, the batch "
                   "and the chunking.\nNumbers, switches and names below are those of this version;\n.B \\-\\-help\n"
                   "after a command says the same.\n.SH COMMANDS\n");
    for (int i = 0; i < pages; i++) roff_page(out, &page[i]);
    roff_common(out);
    text_line(out, ".SH ENVIRONMENT\n");
    for (size_t i = 0; i < sizeof environment / sizeof *environment; i++) {
        text_line(out, ".TP\n.B ");
        roff(out, environment[i][0]);
        text_line(out, "\n");
        roff(out, environment[i][1]);
        text_line(out, "\n");
    }
    text_line(out, ".SH EXIT STATUS\n"
                   "0 when all went well, 1 when something failed, 2 when the command line was wrong.\n"
                   "Messages go to standard error, results to standard output.\n"
                   ".SH EXAMPLES\n.nf\nqwenmesh pull Qwen/Qwen2.5\\-0.5B\\-Instruct\n"
                   "qwenmesh chat \\-m models/Qwen2.5\\-0.5B\\-Instruct\n"
                   "mpirun \\-n 2 qwenmesh run \\-m MODEL \\-\\-mesh 1x2 \\-p \"Why is the sky blue?\"\n.fi\n.PP\n"
                   "Open MPI also wants\n.B \\-\\-oversubscribe\nwhere processes outnumber cores, and\n"
                   ".B \\-\\-allow\\-run\\-as\\-root\nfrom root.\n");
}

/* ---- Completions ------------------------------------------------------------------------------------------------- */

/* Text inside single quotes of a shell; what `also` names gets a backslash. */
static void quoted(Text *out, const char *text, const char *also) {
    for (const char *c = text; *c; c++) {
        if (*c == '\'') text_line(out, *also ? "'\\''" : "\\'");
        else if (*c == '\\' || strchr(also, *c)) text_line(out, "\\%c", *c);
        else text_add(out, *c == '\n' ? " " : c, 1);
    }
}

static void bash_options(Text *out, const Page *p) {
    text_line(out, "    '%s')\n        options='--help", p->command->name);
    for (int i = 0; i < p->count; i++) text_line(out, " --%s", p->option[i].name);
    text_line(out, "'\n        case $previous in\n");
    for (int i = 0; i < p->count; i++) {
        const Option *o = &p->option[i];
        if (o->kind == OPTION_FLAG) continue;
        Values v = values_of(o);
        if (o->letter) text_line(out, "        -%c | ", o->letter);
        text_line(out, "%s--%s) ", o->letter ? "" : "        ", o->name);
        text_line(out, "kind=%s words='%s' ;;\n", v.files ? "file" : v.folders ? "directory" : "none", v.words);
    }
    text_line(out, "        esac ;;\n");
}

static void names(Text *out, const Command *list) {
    for (const Command *c = list; c->name; c++)
        text_line(out, "%s%s", c == list ? "" : " ", word_of(c));
}

static void bash(Text *out) {
    text_line(out, "# bash completion of qwenmesh %s, made by `qwenmesh pages bash`\n_qwenmesh() {\n", QM_VERSION);
    text_line(out, "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
                   "    local command=${COMP_WORDS[1]} options= words= kind=any\n"
                   "    if [ \"$current\" = '=' ]; then current=\n"
                   "    elif [ \"$previous\" = '=' ]; then previous=${COMP_WORDS[COMP_CWORD - 2]}; fi\n"
                   "    if [ \"$COMP_CWORD\" = 1 ]; then\n        COMPREPLY=($(compgen -W '--help --version ");
    names(out, commands);
    text_line(out, "' -- \"$current\"))\n        return\n    fi\n");
    for (const Command *c = commands; c->name; c++) {
        if (!parts_of(c)) continue;
        text_line(out, "    if [ \"$command\" = %s ]; then\n        if [ \"$COMP_CWORD\" = 2 ]; then\n"
                       "            COMPREPLY=($(compgen -W '--help ", c->name);
        names(out, parts_of(c));
        text_line(out, "' -- \"$current\"))\n            return\n        fi\n"
                       "        command=\"$command ${COMP_WORDS[2]}\"\n    fi\n");
    }
    text_line(out, "    case $command in\n");
    for (int i = 0; i < pages; i++) bash_options(out, &page[i]);
    text_line(out, "    esac\n"
                   "    case $current in\n    -*) [ $kind = any ] && kind=none words=$options ;;\n    esac\n"
                   "    [ $kind = any ] && kind=file\n"
                   "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
                   "    [ $kind = none ] && return\n"
                   "    local IFS=$'\\n'\n"
                   "    compopt -o filenames 2>/dev/null\n"
                   "    COMPREPLY+=($(compgen -A $kind -- \"$current\"))\n"
                   "}\ncomplete -F _qwenmesh qwenmesh\n");
}

static void zsh_option(Text *out, const Option *o) {
    Values v = values_of(o);
    if (o->letter) text_line(out, " \\\n            '(-%c --%s)'{-%c,--%s}'[", o->letter, o->name, o->letter, o->name);
    else text_line(out, " \\\n            '--%s[", o->name);
    quoted(out, o->help, "[]:");
    text_line(out, "]");
    if (o->kind != OPTION_FLAG) {
        text_line(out, ":");
        quoted(out, o->argument, "[]:");
        text_line(out, ":");
        if (*v.words && (v.files || v.folders))
            text_line(out, "{ compadd %s; _files%s }", v.words, v.files ? "" : " -/");
        else if (*v.words) text_line(out, "(%s)", v.words);
        else if (v.files || v.folders) text_line(out, "_files%s", v.files ? "" : " -/");
        else text_line(out, " ");
    }
    text_line(out, "'");
}

static void zsh_commands(Text *out, const char *name, const Command *list) {
    text_line(out, "    local -a %s=(\n", name);
    for (const Command *c = list; c->name; c++) {
        text_line(out, "        '%s:", word_of(c));
        quoted(out, c->summary, "[]:");
        text_line(out, "'\n");
    }
    text_line(out, "    )\n");
}

static void zsh(Text *out) {
    text_line(out, "#compdef qwenmesh\n# zsh completion of qwenmesh %s, made by `qwenmesh pages zsh`\n_qwenmesh() {\n"
                   "    local command=$words[2]\n", QM_VERSION);
    zsh_commands(out, "all", commands);
    text_line(out, "    if (( CURRENT == 2 )); then _describe command all; return; fi\n");
    for (const Command *c = commands; c->name; c++) {
        if (!parts_of(c)) continue;
        zsh_commands(out, "parts", parts_of(c));
        text_line(out, "    if [[ $command == %s ]]; then\n"
                       "        if (( CURRENT == 3 )); then _describe command parts; return; fi\n"
                       "        command=\"$command $words[3]\"\n        shift words\n        (( CURRENT-- ))\n    fi\n",
                  c->name);
    }
    text_line(out, "    shift words\n    (( CURRENT-- ))\n    case $command in\n");
    for (int i = 0; i < pages; i++) {
        text_line(out, "    '%s')\n        _arguments", page[i].command->name);
        for (int j = 0; j < page[i].count; j++) zsh_option(out, &page[i].option[j]);
        text_line(out, " \\\n            '(-h --help)'{-h,--help}'[this text]' '*:argument:_files' ;;\n");
    }
    text_line(out, "    esac\n}\n_qwenmesh \"$@\"\n");
}

static void fish_commands(Text *out, const char *condition, const Command *list) {
    for (const Command *c = list; c->name; c++) {
        text_line(out, "complete -c qwenmesh -n '%s' -f -a %s -d '", condition,
                  word_of(c));
        quoted(out, c->summary, "");
        text_line(out, "'\n");
    }
}

static void fish(Text *out) {
    text_line(out, "# fish completion of qwenmesh %s, made by `qwenmesh pages fish`\n"
                   "function __qwenmesh_is\n    set -l words (commandline -opc)\n"
                   "    set -l last (math 1 + (count $argv))\n"
                   "    test (count $words) -ge $last\n    and test \"$words[2..$last]\" = \"$argv\"\nend\n"
                   "function __qwenmesh_after\n    set -l words (commandline -opc)\n"
                   "    test \"$words[2..-1]\" = \"$argv\"\nend\n", QM_VERSION);
    fish_commands(out, "__qwenmesh_after", commands);
    for (const Command *c = commands; c->name; c++) {
        char condition[64];
        snprintf(condition, sizeof condition, "__qwenmesh_after %s", c->name);
        if (parts_of(c)) fish_commands(out, condition, parts_of(c));
    }
    for (int i = 0; i < pages; i++)
        for (int j = 0; j < page[i].count; j++) {
            const Option *o = &page[i].option[j];
            Values v = values_of(o);
            text_line(out, "complete -c qwenmesh -n '__qwenmesh_is %s' -l %s", page[i].command->name, o->name);
            if (o->letter) text_line(out, " -s %c", o->letter);
            if (o->kind != OPTION_FLAG) text_line(out, v.files || v.folders ? " -r -F" : " -x");
            if (*v.words) text_line(out, " -a '%s'", v.words);
            text_line(out, " -d '");
            quoted(out, o->help, "");
            text_line(out, "'\n");
        }
}

int cmd_pages(int argc, char **argv) {
    Err err = {0};
    Text out = {0};
    const char *form = argc == 2 ? argv[1] : "";
    options_told = told;
    bool ok = pages_collect(commands, &err);
    options_told = NULL;
    if (ok && !strcmp(form, "man")) manual(&out);
    else if (ok && !strcmp(form, "bash")) bash(&out);
    else if (ok && !strcmp(form, "zsh")) zsh(&out);
    else if (ok && !strcmp(form, "fish")) fish(&out);
    else if (ok) return pages_free(), usage_error("pages", "expected man, bash, zsh or fish");
    ok = ok && text_ok(&out, "page", &err) && file_put(stdout, out.data, out.bytes, "standard output", &err) &&
         file_finish(stdout, "standard output", &err);
    text_free(&out);
    pages_free();
    return ok ? EXIT_OK : fail(&err);
}
