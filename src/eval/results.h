/* results.h: a file of results, JSON lines: a header {"run": {...}}, then one object per output, appended as it is
 * there. Lines hold no times, so a finished file is the same however often the run was cut short. */
#ifndef RESULTS_H
#define RESULTS_H
#include "../io/json.h"
#include "gsm8k.h"

typedef struct Results {
    const char *path;   /* NULL: a temporary file                    */
    FILE *file;         /* at its end, between calls                 */
    uint8_t *done;      /* [questions * samples]: already there      */
    int64_t questions, samples, found;
} Results;

/* Opens for appending. An existing file needs `resume` and the same header as `run` (borrowed); a torn last line is cut
 * off, any other bad line is an error. */
bool results_open(Results *r, const char *path, bool resume, const json_t *run, int64_t questions, int64_t samples,
                  Err *err);
bool results_add(Results *r, const json_t *line, Err *err);  /* one line, flushed */
/* Puts the lines in order of index and sample (a new file that replaces the old), so that order of arrival leaves no
 * trace. */
bool results_sort(Results *r, Err *err);
bool results_close(Results *r, Err *err);

/* Adds "extracted" and "correct" to an output's line. */
bool results_judge(const Protocol *p, json_t *line, const char *where, Err *err);

/* Scores every line of `in` into `out`, with no model: ours or others', {"gold", "output"}. */
bool results_rescore(const Protocol *p, const char *in, const char *out, Err *err);
#endif
