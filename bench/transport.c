/* transport.c: the time of one all-reduce between ranks: each sends one block of one row to every other, as an aligned
 * 1xN mesh does after o_proj and down_proj. Run by `make bench-transport` at 2 and 4 ranks, or under any launcher. */
#include <stdlib.h>
#include "../src/base/transport.h"

enum { WARM = 200, ROUNDS = 2000, BEST_OF = 5 };

static double seconds_each(float *blocks, int64_t width, Message *m) {
    int me = transport_rank(), count = 0;
    for (int peer = 0; peer < transport_ranks(); peer++) {
        if (peer == me) continue;
        m[count++] = (Message){peer, true, blocks + me * width, (size_t)width * sizeof(float)};
        m[count++] = (Message){peer, false, blocks + peer * width, (size_t)width * sizeof(float)};
    }
    double best = 1e9;
    for (int i = 0; i < BEST_OF; i++) {
        for (int r = 0; r < WARM; r++) transport_exchange(m, count, PATIENCE_STEP, "warming up");
        double start = clock_seconds();
        for (int r = 0; r < ROUNDS; r++) transport_exchange(m, count, PATIENCE_STEP, "all_reduce");
        double each = (clock_seconds() - start) / ROUNDS;
        if (each < best) best = each;
    }
    return best;
}

int main(int argc, char **argv) {
    Err err = {0};
    if (!transport_wanted()) return fprintf(stderr, "bench/transport: expected mpirun -n 2 or more\n"), 2;
    if (!transport_start(argc, argv, &err)) return fprintf(stderr, "bench/transport: %s\n", err.text), 1;
    static const int64_t widths[] = {896, 1536, 3584, 8192};
    float *blocks = mem_new((size_t)transport_ranks() * 8192, sizeof *blocks, "blocks", &err);
    Message *m = mem_new(2 * (size_t)transport_ranks(), sizeof *m, "messages", &err);
    for (int i = 0; blocks && m && i < 4; i++) {
        double each = seconds_each(blocks, widths[i], m);
        if (transport_rank() == 0)
            printf("%d ranks, 1 row of %5lld f32: %8.2f us\n", transport_ranks(), (long long)widths[i], each * 1e6);
    }
    free(blocks);
    free(m);
    transport_end();
    return 0;
}
