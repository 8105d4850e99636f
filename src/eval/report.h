/* report.h: what a file of scored results says: accuracies with standard errors, as a table and as a page to browse. */
#ifndef REPORT_H
#define REPORT_H
#include "../base/lines.h"
#include "gsm8k.h"

typedef struct RuleTally {
    double mean, deviation;         /* accuracy over questions (mean over samples), its standard error */
    double voted, voted_deviation;  /* of the majority among a question's samples                      */
    int64_t invalid;                /* outputs without an answer                                       */
} RuleTally;

typedef struct Report {
    const Protocol *protocol;
    int64_t questions, outputs, samples; /* samples: most of one question */
    int64_t truncated, prompt_tokens, new_tokens;
    int64_t cut;                         /* prompts that lost their beginning       */
    int64_t shots;                       /* -1: unknown */
    char model[128];                     /* "" : unknown */
    char generation[512];                /* parameters in force; "": unknown */
    RuleTally rule[MAX_RULES];
} Report;

/* Reads scored lines. `questions`: those from there on are left out; 0: none is. */
bool report_read(Report *r, const Protocol *p, Lines *lines, int64_t questions, Err *err);
/* lm-eval's table, then counts. */
void report_print(const Report *r, FILE *out);
/* One self-contained page; `lines` from the start again. */
bool report_html(const Report *r, Lines *lines, const char *path, Err *err);

/* Appends text as HTML: markup escaped, control characters as U+FFFD. */
void html_add(Text *out, const char *text, size_t bytes);
#endif
