/* plan_serve.c: `plan --serve`: how many machines with how many slots a load of requests needs.
 *
 * Requests come at random (Poisson) with rate R, dealt evenly to M machines. One request takes p seconds of a machine
 * for its prompt, then n steps, one new token each; a step with b sequences takes t(b) seconds, by measured tokens a
 * second: t(b) = b / tokens(b), straight lines between the measured b and on after the last.
 *   residence   W = (p + n t(L)) / (1 - r p),  r = R / M: prompts of others take their share of the machine
 *   occupancy   L = r W                        Little's law (Little, Operations Research 9, 1961)
 *   capacity    1 / (p + n t(c) / c)           requests a second with all c slots busy
 *   waiting     Erlang's C formula (Erlang 1917; Kleinrock, Queueing Systems 1, 1975, M/M/c) with a = L busy slots:
 *               P(wait) = C(c, a), P(wait > x) = C exp(-(c - a) x / W)
 * Answers that are all n long vary less than the exponential distribution of M/M/c: waits come out high. */
#include "plan_serve.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/cpu.h"

#define GIB (1024.0 * 1024 * 1024)
enum { MOST_SLOTS = 1024, MOST_MACHINES = 100000, MOST_POINTS = 32 };

/* How fast a machine is: seconds of a step by its sequences, seconds of a prompt's token. */
typedef struct Speed {
    int points;
    double sequences[MOST_POINTS], step[MOST_POINTS];
    double prompt;
    /* Of a guess: bytes of a step, of a sequence in it; flops of a row; the machine's bytes and flops a second. */
    double weights, cache, flops, bandwidth, peak;
} Speed;

static bool read_rates(Speed *s, const char *text, Err *err) {
    for (const char *at = text; *at;) {
        char *end;
        double sequences = strtod(at, &end), rate = 0;
        bool ok = end != at && *end == ':' && sequences >= 1 && sequences <= MOST_SLOTS;
        if (ok) at = end + 1, rate = strtod(at, &end), ok = end != at && rate > 0 && rate < 1e9;
        if (!ok || (*end && *end != ',') || (s->points && sequences <= s->sequences[s->points - 1]))
            return err_as(err, QM_USAGE,
                          "--decode-rates: expected SEQUENCES:TOKENS,... with rising sequences, as 1:48,8:250, "
                          "got '%s'",
                          text);
        if (s->points == MOST_POINTS) return err_as(err, QM_USAGE, "--decode-rates: more than %d pairs", MOST_POINTS);
        s->sequences[s->points] = sequences, s->step[s->points++] = sequences / rate;
        at = *end ? end + 1 : end;
    }
    return s->points > 0 || err_as(err, QM_USAGE, "--decode-rates: expected SEQUENCES:TOKENS,..., got nothing");
}

/* Bytes of matrices that a step reads once, whatever its rows, and flops of a row. */
static void step_work(const Plan *p, Speed *s) {
    const Graph *g = &p->program.graph;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (n->kind != NODE_OP) continue;
        s->flops += n->op->cost(g, n).flops / (double)p->rows;
        const Node *in = n->inputs > 1 ? graph_node(g, n->in[1]) : NULL;
        if (in && in->kind == NODE_WEIGHT && in->shape.rank == 2 && n->op->binds != BINDS_TABLE)
            s->weights += (double)in->shape.dim[0].size * (double)in->shape.dim[1].size * p->bits[n->in[1].id] / 8;
    }
}

/* Where nobody measured the program: what this machine's memory and arithmetic would do. */
static bool measure_limits(Speed *s, const Plan *p, const PlanServe *load, Err *err) {
    int cores = cpu_cores_usable();
    step_work(p, s);
    const ModelConfig *c = &p->config;
    s->cache = 2.0 * (double)(c->layers * c->kv_heads * c->head_dim) * p->cache_bits / 8 *
               ((double)load->prompt + (double)load->fresh / 2);
    s->bandwidth = cpu_read_bandwidth(cores, 0.3, err);
    s->peak = s->bandwidth > 0 ? cpu_fma_peak(cores, 0.3, err) : 0;
    return s->peak > 0;
}

static double step_seconds(const Speed *s, double b) {
    if (!s->points) {
        double memory = (s->weights + b * s->cache) / s->bandwidth, work = b * s->flops / s->peak;
        return memory > work ? memory : work;
    }
    /* With one pair more sequences gain nothing, and fewer take the time of one measured step. */
    if (s->points == 1) return b <= s->sequences[0] ? s->step[0] : s->step[0] * b / s->sequences[0];
    if (b <= s->sequences[0]) return s->step[0];
    int i = 1;
    while (i < s->points - 1 && b > s->sequences[i]) i++;
    double slope = (s->step[i] - s->step[i - 1]) / (s->sequences[i] - s->sequences[i - 1]);
    double t = s->step[i] + slope * (b - s->sequences[i]);
    return t > 0 ? t : s->step[i];
}

static double prompt_seconds(const Speed *s, const PlanServe *load) {
    return (double)(load->prompt - load->cached) * s->prompt;
}

/* Erlang's C by his B, whose recursion does not overflow. 1 where the slots do not suffice. */
static double erlang_c(int slots, double a) {
    double b = 1;
    if (a >= slots) return 1;
    for (int i = 1; i <= slots; i++) b = a * b / (i + a * b);
    return b / (1 - a / slots * (1 - b));
}

typedef struct Answer {
    int machines, slots;
    double busy, occupancy, residence, waits, wait_mean, wait_99;
} Answer;

/* One machine with that rate and slots. False: it cannot. */
static bool one_machine(const Speed *s, const PlanServe *load, double rate, int slots, Answer *a) {
    double p = prompt_seconds(s, load), n = (double)load->fresh, share = 1 - rate * p;
    if (share <= 0) return false;
    a->slots = slots;
    a->busy = rate * (p + n * step_seconds(s, slots) / slots);
    if (a->busy >= 1) return false;
    double occupancy = 0; /* rises to the least fixed point of Little's law, if there is one below the slots */
    for (int i = 0; i < 10000; i++) {
        double next = rate * (p + n * step_seconds(s, occupancy < 1 ? 1 : occupancy)) / share;
        if (next >= slots) return false;
        if (fabs(next - occupancy) < 1e-9 * slots) break;
        occupancy = next;
    }
    a->occupancy = occupancy;
    a->residence = occupancy / rate;
    a->waits = erlang_c(slots, occupancy);
    a->wait_mean = a->waits * a->residence / (slots - occupancy);
    a->wait_99 = a->waits > 0.01 ? log(100 * a->waits) * a->residence / (slots - occupancy) : 0;
    return true;
}

static double fullest_device(Plan *p, int slots) {
    double most = 0;
    p->slots = slots;
    for (int d = 0; d < p->partition.mesh.tp; d++) most = fmax(most, plan_all_bytes(plan_bytes(p, d)));
    return most;
}

static bool smallest(const Speed *s, const PlanServe *load, Plan *p, Answer *a, Err *err) {
    int most = MOST_SLOTS;
    while (load->memory > 0 && most > 0 && fullest_device(p, most) > load->memory * GIB) most--;
    if (!most)
        return err_as(err, QM_LIMIT,
                      "plan --serve: a slot of %lld positions needs %.2f GiB on the fullest device, got %.2f",
                      (long long)p->context, fullest_device(p, 1) / GIB, load->memory);
    for (int m = 1; m <= MOST_MACHINES; m++)
        for (int slots = 1; slots <= most; slots++)
            if (one_machine(s, load, load->rate / m, slots, a) && a->busy <= load->busy && a->wait_99 <= load->wait) {
                a->machines = m;
                return true;
            }
    return err_as(err, QM_LIMIT, "plan --serve: %d machines do not suffice for %g requests a second", MOST_MACHINES,
                  load->rate);
}

static void print_speed(const Speed *s, const PlanServe *load) {
    printf("load: %g requests a second, prompts of %lld tokens (%lld from the prefix cache), answers of %lld\n",
           load->rate, (long long)load->prompt, (long long)load->cached, (long long)load->fresh);
    if (s->points) {
        printf("decode, given:");
        for (int i = 0; i < s->points; i++)
            printf("%s %.0f sequence%s %.1f tokens/s", i ? "," : "", s->sequences[i], s->sequences[i] > 1 ? "s" : "",
                   s->sequences[i] / s->step[i]);
        printf("\n");
    } else
        printf(
            "decode: a guess, %.1f tokens/s of 1 sequence, %.1f of 8, since this machine reads %.1f GB/s and does %.0f "
            "GFLOP/s in f32, measured now: give --decode-rates, as `bench -b 1,4,8` measures them\n",
            1 / step_seconds(s, 1), 8 / step_seconds(s, 8), s->bandwidth / 1e9, s->peak / 1e9);
    printf("prompts: %s%.0f tokens/s%s\n", load->prefill > 0 ? "" : "a guess, ", 1 / s->prompt,
           load->prefill > 0 ? ", given" : ", from the same: give --prefill-rate");
}

static void print_answer(const Speed *s, const PlanServe *load, Plan *p, const Answer *a) {
    double rate = load->rate / a->machines, prompt = prompt_seconds(s, load);
    double decode = rate * (double)load->fresh * step_seconds(s, fmax(a->occupancy, 1)) / fmax(a->occupancy, 1);
    double bytes = fullest_device(p, a->slots);
    printf("\nmachines: %d; slots of each: %d of %lld positions\n", a->machines, a->slots, (long long)p->context);
    printf("memory: the fullest device needs %.2f GiB%s\n", bytes / GIB, load->memory > 0 ? ", which fits" : "");
    printf("busy: %.0f %% of what they could answer (at most %.0f %%); %.1f slots of a machine taken on average\n",
           100 * a->busy, 100 * load->busy, a->occupancy);
    printf("wait for a slot: %.1f %% of the requests wait, %.2f s on average of all; 99 of 100 at most %.2f s\n",
           100 * a->waits, a->wait_mean, a->wait_99);
    printf("first token after %.2f s, then one every %.0f ms, the whole answer after %.2f s, on average\n",
           a->wait_mean + prompt / fmax(1 - decode, 0.01) +
               step_seconds(s, fmax(a->occupancy, 1)) / (1 - rate * prompt),
           1000 * step_seconds(s, fmax(a->occupancy, 1)) / (1 - rate * prompt), a->wait_mean + a->residence);
    printf("serve flags: --parallel %d -c %lld\n", a->slots, (long long)p->context);
    printf("\nassumed: requests come at random (Poisson) and are dealt evenly; all have these lengths; a machine is "
           "one mesh %s; steps take b / tokens(b) seconds, in straight lines between what was given; waits by Erlang's "
           "C formula (M/M/c), occupancy by Little's law. Leave room for a machine that fails: one more.\n",
           p->partition.mesh.text);
}

bool plan_serve(const PlanServe *load, Plan *p, Err *err) {
    Speed s = {.prompt = load->prefill > 0 ? 1 / load->prefill : 0};
    Answer a = {0};
    if (load->cached >= load->prompt)
        return err_as(err, QM_USAGE, "--cached: expected fewer tokens than the prompt's %lld, got %lld",
                      (long long)load->prompt, (long long)load->cached);
    if (load->prompt + load->fresh > p->context)
        return err_as(err, QM_USAGE, "--ctx: expected at least prompt and answer, %lld positions, got %lld",
                      (long long)(load->prompt + load->fresh), (long long)p->context);
    if (load->decode && !read_rates(&s, load->decode, err)) return false;
    if ((!load->decode || !(s.prompt > 0)) && !measure_limits(&s, p, load, err)) return false;
    if (!(s.prompt > 0)) s.prompt = s.flops / s.peak;
    if (!smallest(&s, load, p, &a, err)) return false;
    print_speed(&s, load);
    print_answer(&s, load, p, &a);
    return true;
}
