/* follow.c: what a rank other than 0 does about what rank 0 tells it. */
#include <string.h>
#include "../base/transport.h"
#include "follow.h"
#include "lead.h"
#include "orders.h"

static Follower followers[MAX_ENGINES]; /* by number: of those in `engines` */

static bool hear_more(void *owner, void *data, size_t bytes, Err *err) {
    (void)owner, (void)err; /* a message that does not come ends the process */
    lead_hear(data, bytes, PATIENCE_STEP);
    return true;
}

/* An engine that does not open is none, and rank 0 knows why and will not use it. */
static bool obey_open(int number, Err *err) {
    OpenOrder open;
    QmEngineOptions options;
    Err ignored = {0};
    lead_hear(&open, sizeof open, PATIENCE_OPEN);
    if (*lead_engine(number)) return err_set(err, "order to open engine %d, which is open", number);
    if (!open_order_read(&open, &options, err)) return false;
    *lead_engine(number) = engine_open_as(NULL, &options, number, &ignored);
    return !*lead_engine(number) || follower_new(&followers[number], *lead_engine(number), err);
}

static bool obey(const Order *o, Err *err) {
    if (o->engine < 1 || o->engine >= MAX_ENGINES)
        return err_set(err, "order %d for engine %d: expected 1 to %d", o->kind, o->engine, MAX_ENGINES - 1);
    if (o->kind == ORDER_OPEN) return obey_open(o->engine, err);
    QmEngine *e = *lead_engine(o->engine);
    if (!e && o->kind == ORDER_CLOSE) return true; /* it did not open everywhere: closed already */
    if (!e) return err_set(err, "order %d for engine %d, which is not open", o->kind, o->engine);
    if (o->kind != ORDER_CLOSE) return follower_obey(&followers[o->engine], o, hear_more, NULL, err);
    follower_free(&followers[o->engine]);
    qm_engine_close(e);
    return true;
}

int follow(FollowTrain *train) {
    end_signals_follow(); /* rank 0 decides what an interrupt stops */
    for (;;) {
        Order o;
        Err err = {0};
        lead_hear(&o, sizeof o, PATIENCE_FOREVER);
        if (o.kind == ORDER_END) return 0;
        if (o.kind == ORDER_TRAIN ? !train(&o, hear_more, NULL, &err) : !obey(&o, &err)) transport_fail("%s", err.text);
    }
}
