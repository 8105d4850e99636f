/* orders.h: the messages by which rank 0 leads the others, as they travel: what a rank makes of them, which checks
 * every number and text in them first. Whatever another process sends, a rank obeys or says what is wrong with it. */
#ifndef ORDERS_H
#define ORDERS_H
#include "../base/engine_options.h"
#include "engine.h"

typedef enum OrderKind {
    ORDER_END,
    ORDER_OPEN,       /* OpenOrder follows */
    ORDER_STEP,       /* number: rows, logit rows; rows beyond ORDER_ROWS follow, at most ORDER_MORE_ROWS a message */
    ORDER_COPY,       /* number: from slot, to slot, positions */
    ORDER_READ,       /* number: node */
    ORDER_CANDIDATES, /* number: logit row */
    ORDER_CLOSE,
    ORDER_TRAIN,      /* of no engine: src/train knows what it says */
    ORDER_KINDS
} OrderKind;

/* Rows of a decode step travel in the order itself: one message. */
enum { ORDER_ROWS = 8, ORDER_MORE_ROWS = 256, ORDER_TEXT_BYTES = 4096, MAX_ENGINES = 16 };

typedef struct OrderRow { int64_t index, length; int32_t token, slot, position, logit_row, adapter, unused; } OrderRow;
typedef struct Order {
    int32_t kind, engine; /* OrderKind; number of the engine, 1 .. MAX_ENGINES - 1 */
    int64_t number[3];
    OrderRow row[ORDER_ROWS];
} Order;

/* Options as one message, in the order of engine_options. Texts lie in `text` behind each other, each with its NUL: their
 * number is 1, of one that is NULL 0. */
typedef struct OpenOrder {
    int64_t number[ENGINE_OPTION_COUNT];
    char text[ORDER_TEXT_BYTES];
} OpenOrder;

/* False: texts that are too long together. */
bool open_order_write(OpenOrder *open, const QmEngineOptions *options, Err *err);
/* The texts of `options` then lie in `open`. */
bool open_order_read(const OpenOrder *open, QmEngineOptions *options, Err *err);

OrderRow order_row(const StepRows *step, int64_t r);

/* An engine of a rank that follows, and what of earlier orders later ones must fit to. */
typedef struct Follower {
    QmEngine *engine;
    int64_t *held; /* [slots] positions of the cache that have been written: rows may begin at most there */
    int64_t *last; /* [slots] the last step with rows of that slot */
    int64_t steps, logit_rows; /* so far; of the last step */
} Follower;

bool follower_new(Follower *f, QmEngine *engine, Err *err); /* freed with follower_free, also after failure */
void follower_free(Follower *f);                            /* not the engine */

/* The next message, of `bytes` bytes, which belongs to an order. */
typedef bool Hear(void *owner, void *data, size_t bytes, Err *err);
/* Obeys a step, copy, read or candidates. False: the order is wrong, or what it wants failed. */
bool follower_obey(Follower *f, const Order *order, Hear *hear, void *owner, Err *err);
#endif
