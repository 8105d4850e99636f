/* prometheus.h: what is counted while the server runs, and /metrics' text of it. Names of vLLM where there is one
 * ("vllm:..."): dashboards and gateways read those; the others begin with "qwenmesh:". */
#ifndef PROMETHEUS_H
#define PROMETHEUS_H
#include <stdatomic.h>
#include "../base/base.h"

/* A distribution: numbers that fell into each of its ranges. Any thread may add. */
enum { HISTOGRAM_MOST = 24 };
typedef struct Histogram {
    _Atomic int64_t bucket[HISTOGRAM_MOST + 1]; /* the last one: above all bounds */
    _Atomic int64_t micros;                     /* the sum, in millionths         */
} Histogram;

/* X(field, name, bounds, help) */
#define HISTOGRAMS(X)                                                                                                  \
    X(first, "vllm:time_to_first_token_seconds", seconds_bounds, "From arrival to the first token.")                  \
    X(between, "vllm:inter_token_latency_seconds", seconds_bounds, "Between two tokens of a sequence.")               \
    X(whole, "vllm:e2e_request_latency_seconds", seconds_bounds, "From arrival to the end.")                          \
    X(queued, "vllm:request_queue_time_seconds", seconds_bounds, "From arrival to a slot.")                           \
    X(prefill, "vllm:request_prefill_time_seconds", seconds_bounds, "From a slot to the first token.")                \
    X(decode, "vllm:request_decode_time_seconds", seconds_bounds, "From the first token to the last.")                \
    X(prompt, "vllm:request_prompt_tokens", tokens_bounds, "Tokens of a prompt.")                                     \
    X(generated, "vllm:request_generation_tokens", tokens_bounds, "Tokens of an answer.")

/* X(field, name, help) */
#define COUNTERS(X)                                                                                                    \
    X(prompt_tokens, "vllm:prompt_tokens_total", "Tokens of prompts.")                                                \
    X(generation_tokens, "vllm:generation_tokens_total", "Tokens generated.")                                         \
    X(cache_queries, "vllm:prefix_cache_queries_total", "Tokens of prompts that were looked for in slots.")           \
    X(cache_hits, "vllm:prefix_cache_hits_total", "Those that a slot had.")                                           \
    X(cancelled, "qwenmesh:requests_cancelled_total", "Generations whose clients went away.")                         \
    X(refused, "qwenmesh:requests_refused_total", "Requests refused as the queue was full.")                          \
    X(late, "qwenmesh:requests_timeout_total", "Requests whose time was over.")                                       \
    X(steps, "qwenmesh:steps_total", "Steps of the model.")

enum { FINISHES = 8, ROUTE_COUNTS = 96, STATUSES = 20 };

typedef struct Counts {
#define X(field, name, bounds, help) Histogram field##_histogram;
    HISTOGRAMS(X)
#undef X
#define X(field, name, help) _Atomic int64_t field;
    COUNTERS(X)
#undef X
    struct { _Atomic(const char *) reason; _Atomic int64_t count; } finish[FINISHES]; /* reasons are of constant storage */ /* of constant storage */
    _Atomic int64_t answers[ROUTE_COUNTS][STATUSES]; /* by the route's number and status */
} Counts;

void histogram_add(Histogram *h, const double *bounds, double value);
extern const double seconds_bounds[], tokens_bounds[]; /* end with infinity */
/* count_add(&counts, first, 0.25): of a histogram of the table above. */
#define COUNT_SECONDS(counts, field, value) histogram_add(&(counts)->field##_histogram, seconds_bounds, value)
#define COUNT_TOKENS(counts, field, value) histogram_add(&(counts)->field##_histogram, tokens_bounds, value)
void count_finish(Counts *c, const char *reason);
void count_answer(Counts *c, int route, int status); /* the route's number in the tables; -1: none */

typedef struct Gauges { int64_t running, waiting, connections; double cache_used; bool ready; } Gauges;
/* Appends the text. route_name tells method and path of a route's number. */
void prometheus_text(const Counts *c, const Gauges *g, const char *model,
                     bool (*route_name)(int route, const char **method, const char **path), Text *out);
#endif
