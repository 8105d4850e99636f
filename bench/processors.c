/* processors.c: microseconds of one choice at a vocabulary of 151,936, per set of parameters: the median of rounds
 * taken in turn, with the logits' copy that every round makes taken off. Set beside a decode step of the 0.5B shape
 * (bench/checkpoint.py and `qwenmesh bench`). Arguments: rounds (51). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../src/infer/generation.h"

enum { VOCAB = 151936, HISTORY = 1024, MAX_ROUNDS = 1001 };

static const char *const requests[] = {
    "{}",
    "{\"do_sample\":true}",
    "{\"do_sample\":true,\"temperature\":0.7,\"top_k\":20,\"top_p\":0.8,\"repetition_penalty\":1.05}",
    "{\"do_sample\":true,\"top_k\":50}",
    "{\"do_sample\":true,\"top_p\":0.9}",
    "{\"do_sample\":true,\"min_p\":0.05}",
    "{\"do_sample\":true,\"typical_p\":0.9}",
    "{\"do_sample\":true,\"eta_cutoff\":0.001}",
    "{\"no_repeat_ngram_size\":3,\"repetition_penalty\":1.2,\"presence_penalty\":1,\"frequency_penalty\":0.5}",
    "{\"logprobs\":5}",
};
enum { REQUESTS = sizeof requests / sizeof *requests };

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    static double time[REQUESTS + 1][MAX_ROUNDS];
    int64_t rounds = 51;
    Err err = {0};
    SampleWork work;
    Generation g[REQUESTS];
    int32_t ids[HISTORY], id;
    float *logits = malloc(VOCAB * sizeof *logits), *copy = malloc(VOCAB * sizeof *copy);
    if (argc > 1 && !parse_int(argv[1], 1, MAX_ROUNDS, &rounds)) return 2;
    if (!logits || !copy || !sample_work_new(&work, VOCAB, &err)) return 1;
    srand(1);
    for (int i = 0; i < VOCAB; i++) { /* about normal, spread 3: a flat tail and few that matter, as a model has them */
        double sum = 0;
        for (int k = 0; k < 12; k++) sum += (double)rand() / RAND_MAX;
        logits[i] = (float)((sum - 6) * 3);
    }
    for (int i = 0; i < HISTORY; i++) ids[i] = rand() % VOCAB;
    for (int i = 0; i < REQUESTS; i++) {
        GenerationConfig base = {.temperature = 1, .top_p = 1, .typical_p = 1, .min_tokens_to_keep = 1, .num_beams = 1,
                                 .repetition_penalty = 1, .encoder_repetition_penalty = 1, .forced_bos = -1,
                                 .decay_factor = 1, .num_beam_groups = 1, .num_return_sequences = 1, .logprobs = -1,
                                 .max_new_tokens = 1 << 20}, c;
        json_t *o = json_loads(requests[i], 0, NULL);
        if (!generation_from_json(&c, &base, o, "bench", &err) ||
            !generation_start(&g[i], &c, NULL, ids, HISTORY, &err))
            return 1;
        generation_config_free(&c);
        json_decref(o);
    }
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i <= REQUESTS; i++) {
            double start = clock_seconds();
            memcpy(copy, logits, VOCAB * sizeof *copy);
            if (i < REQUESTS && !generation_choose(&g[i], copy, (uint64_t)r, &work, &id, &err)) return 1;
            time[i][r] = (clock_seconds() - start) * 1e6;
        }
    for (int i = 0; i <= REQUESTS; i++) qsort(time[i], (size_t)rounds, sizeof(double), ascending);
    printf("vocabulary %d, history %d, median of %lld\n", VOCAB, HISTORY, (long long)rounds);
    for (int i = 0; i < REQUESTS; i++) {
        printf("%8.0f us  %s\n", time[i][rounds / 2] - time[REQUESTS][rounds / 2], requests[i]);
        generation_free(&g[i]);
    }
    sample_work_free(&work);
    free(logits);
    free(copy);
    return 0;
}
