/* fake_link.c: a slower network between ranks: a transport library (QWENMESH_MPI_LIBRARY) that hands what is sent to the true
 * one, FAKE_LINK_UNDER, message after message, each once a link of FAKE_LINK_BYTES a second would have carried it. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "../src/base/transport_library.h"

enum { MOST_WAITING = 1 << 16 };

typedef struct Sent { TransportWay way; int peer; void *data; size_t bytes; double due; } Sent;

static const TransportLibrary *under;
static double bytes_a_second, busy_until;
static Sent waiting[MOST_WAITING]; /* a ring: [first, last) */
static uint32_t first, last;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool start(int *rank, int *ranks) {
    const char *path = getenv("FAKE_LINK_UNDER"), *rate = getenv("FAKE_LINK_BYTES");
    void *handle = path ? dlopen(path, RTLD_NOW | RTLD_GLOBAL) : NULL;
    under = handle ? dlsym(handle, TRANSPORT_LIBRARY_SYMBOL) : NULL;
    bytes_a_second = rate ? strtod(rate, NULL) : 0;
    if (!under || under->version != TRANSPORT_LIBRARY_VERSION || !(bytes_a_second > 0)) {
        fprintf(stderr, "fake_link: expected FAKE_LINK_UNDER, a transport library, and FAKE_LINK_BYTES\n");
        return false;
    }
    return under->start(rank, ranks);
}

static bool post(TransportWay way, int peer, bool send, void *data, size_t bytes) {
    if (!send) return under->post(way, peer, send, data, bytes);
    if (last - first == MOST_WAITING) return false;
    double begins = now();
    if (begins < busy_until) begins = busy_until;
    busy_until = begins + (double)bytes / bytes_a_second;
    waiting[last++ % MOST_WAITING] = (Sent){way, peer, data, bytes, busy_until};
    return true;
}

static int test(TransportWay way) {
    bool waits = false;
    double at = now();
    for (; first != last && waiting[first % MOST_WAITING].due <= at; first++) {
        const Sent *s = &waiting[first % MOST_WAITING];
        if (!under->post(s->way, s->peer, true, s->data, s->bytes)) return -1;
    }
    for (uint32_t i = first; i != last; i++) waits |= waiting[i % MOST_WAITING].way == way;
    int through = under->test(way);
    return waits && through > 0 ? 0 : through;
}

static const char *why(void) { return under->why(); }
static void end_all(int code) { under->abort(code); }
static void end(void) { under->end(); }

__attribute__((visibility("default"))) const TransportLibrary qwenmesh_transport = {
    TRANSPORT_LIBRARY_VERSION, "a fake link", start, post, test, why, end_all, end,
};
