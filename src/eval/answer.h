/* answer.h: how a protocol finds the answer in a text and compares it with the data set's, exactly as published, traps
 * included. All work on bytes of UTF-8; nothing fails but for memory, which shows in Text.failed. */
#ifndef ANSWER_H
#define ANSWER_H
#include "../base/base.h"

typedef struct AnswerRule {
    const char *name; /* of lm-eval's filter, or the protocol's */
    const char *none; /* stands for "no answer"; NULL: null     */
    /* Appends the answer found in a model's output; false, nothing appended, when there is none. */
    bool (*extract)(const char *text, size_t bytes, Text *out);
    /* Appends the data set's answer in the form that `equal` wants; false when it does not parse. */
    bool (*gold)(const char *text, size_t bytes, Text *out);
    bool (*equal)(const Text *extracted, const Text *gold);
} AnswerRule;

/* openai/grade-school-math dataset.py: the number after the first "#### ", its commas removed; equal as strings. */
extern const AnswerRule answer_openai;
/* lm-evaluation-harness tasks/gsm8k version 3, filters of gsm8k and gsm8k_cot, exact_match with its ignored
 * patterns. */
extern const AnswerRule answer_strict, answer_flexible, answer_cot_strict, answer_cot_flexible;
/* tenstorrent/tt-xla tests/jax/multi_chip/bounties/qwen2_5_7b/test_gsm8k.py: digits only, for gold answers too. */
extern const AnswerRule answer_tt_xla;
/* QwenLM/Qwen2.5-Math evaluation parser.py and grader.py (answer_math.c). Where those ask sympy, only arithmetic is
 * evaluated: a GSM8K answer is a number. */
extern const AnswerRule answer_qwen_math;

/* What extract and equal say of one output. *extracted is cleared first and ends in NUL; `found` false means it is
 * rule->none. */
typedef struct Judged { bool found, correct; } Judged;
Judged answer_judge(const AnswerRule *rule, const char *output, size_t bytes, const Text *gold, Text *extracted);
#endif
