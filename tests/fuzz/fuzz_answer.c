/* fuzz_answer.c: the input is a line of results, else an output that is scored. Every rule takes it: what it finds is
 * scored the same twice; what is judged dumps and reads back. */
#include <stdlib.h>
#include <string.h>
#include "../../src/eval/results.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(bool holds) {
    if (!holds) abort();
}

static void judge_line(const Protocol *p, json_t *line) {
    Err err = {0};
    bool ok = results_judge(p, line, "input", &err);
    check(ok != (err.kind != QM_OK));
    if (!ok) return;
    char *dump = json_dumps(line, JSON_COMPACT);
    check(dump != NULL);
    json_t *back = json_text(dump, strlen(dump), "dump", &err);
    check(back && json_equal(back, line));
    json_decref(back);
    free(dump);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    Err err = {0};
    json_t *line = json_text((const char *)data, bytes, "input", &err);
    for (const Protocol *p = protocols; p->name; p++) {
        if (json_is_object(line)) judge_line(p, line);
        for (int i = 0; i < p->rules; i++) {
            Text gold = {0}, first = {0}, second = {0};
            p->rule[i]->gold("x\n#### 18", 9, &gold);
            Judged a = answer_judge(p->rule[i], (const char *)data, bytes, &gold, &first);
            Judged b = answer_judge(p->rule[i], (const char *)data, bytes, &gold, &second);
            check(a.found == b.found && a.correct == b.correct && first.bytes == second.bytes && !first.failed);
            check(a.found || !a.correct);
            text_free(&gold), text_free(&first), text_free(&second);
        }
    }
    json_decref(line);
    return 0;
}
