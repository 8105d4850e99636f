/* strange_rank.c: a rank that is no qwenmesh, or one gone wrong: it sends what argv[1] says in place of what is waited
 * for, and stays. As rank 0 it answers the first meeting as a true one would, then gives a wrong order. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../src/base/hello.h"
#include "../src/infer/orders.h"
#include "../src/train/train_orders.h"

/* Open MPI writes past the end of a buffer that a message of many KiB, read from the other process, does not fit into. */
enum { TAG = 1, LONG_BYTES = sizeof(Hello) + 100 };

static void put(int peer, const void *data, size_t bytes) {
    MPI_Send(data, (int)bytes, MPI_BYTE, peer, TAG, MPI_COMM_WORLD);
}

static void meet_wrong(const char *what) {
    char *data = malloc(2 * LONG_BYTES);
    if (!data) exit(9);
    memset(data, 'x', LONG_BYTES);
    put(0, data, !strcmp(what, "short") ? 10 : !strcmp(what, "long") ? LONG_BYTES : sizeof(Hello));
    if (!strcmp(what, "garbage"))
        MPI_Recv(data, 2 * sizeof(Hello), MPI_BYTE, 0, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    free(data);
}

static void order_wrong(const char *what) {
    static Hello all[2];
    static OpenOrder open;
    static TrainOpen train = {.optimizer = 7};
    Order order = {.kind = ORDER_STEP, .engine = 1, .number = {1, 1}};
    MPI_Recv(&all[1], sizeof all[1], MPI_BYTE, 1, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    all[0] = all[1];
    put(1, all, sizeof all);
    if (!strcmp(what, "kind")) order.kind = 99;
    if (!strcmp(what, "engine")) order.engine = MAX_ENGINES;
    if (!strcmp(what, "open")) order.kind = ORDER_OPEN;
    if (!strncmp(what, "train-", 6)) order = (Order){.kind = ORDER_TRAIN, .number = {TRAIN_STEP}};
    if (!strcmp(what, "train-kind")) order.number[0] = 99;
    if (!strcmp(what, "train-open")) order.number[0] = TRAIN_OPEN;
    put(1, &order, !strcmp(what, "torn") ? 30 : sizeof order);
    memset(&open, 'x', sizeof open);
    if (!strcmp(what, "open")) put(1, &open, sizeof open);
    if (!strcmp(what, "train-open")) put(1, &train, sizeof train);
}

int main(int argc, char **argv) {
    int rank;
    if (argc != 2 || MPI_Init(&argc, &argv) != MPI_SUCCESS) return 9;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank) meet_wrong(argv[1]);
    else order_wrong(argv[1]);
    sleep(60); /* the other rank ends both */
    return 9;
}
