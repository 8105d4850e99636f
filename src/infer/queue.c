/* queue.c: see queue.h. */
#include "queue.h"
#include <stdlib.h>
#include <string.h>

static QueueGroup *group_of(const Queue *q, uint64_t id) {
    for (int i = 0; i < q->groups; i++)
        if (q->group[i].id == id) return &q->group[i];
    return NULL;
}

bool queue_add(Queue *q, Request *r, Err *err) {
    QueueGroup *group = group_of(q, r->group);
    if (!group) {
        if (!mem_grow((void **)&q->group, &q->capacity, (size_t)q->groups + 1, sizeof *q->group, "groups of requests",
                      err))
            return false;
        group = &q->group[q->groups++];
        *group = (QueueGroup){.id = r->group};
    }
    Request **end = &group->first;
    if (group->count) end = &group->last->next;
    r->next = NULL;
    *end = group->last = r;
    group->count++;
    q->count++;
    return true;
}

void queue_free(Queue *q) {
    free(q->group);
    *q = (Queue){0};
}

Request *queue_at(const Queue *q, int at, int64_t round) {
    if (round >= q->group[at].count) return NULL;
    Request *r = q->group[at].first;
    while (round--) r = r->next;
    return r;
}

int64_t queue_place(const Queue *q, const Request *r) {
    const QueueGroup *own = group_of(q, r->group);
    int64_t before = 0, place = 1;
    const Request *at = own ? own->first : NULL;
    for (; at && at != r; at = at->next) before++;
    if (!at) return 0;
    for (int i = 0; i < q->groups; i++) {
        int64_t rounds = before + (&q->group[i] < own); /* of that group, before it comes */
        place += rounds < q->group[i].count ? rounds : q->group[i].count;
    }
    return place;
}

void queue_take(Queue *q, Request *r, bool served) {
    QueueGroup *group = group_of(q, r->group), kept;
    Request **at = &group->first, *before = NULL;
    for (; *at != r; at = &(*at)->next) before = *at;
    *at = r->next;
    if (group->last == r) group->last = before;
    group->count--;
    q->count--;
    if (group->count && !served) return;
    kept = *group;
    int place = (int)(group - q->group);
    memmove(group, group + 1, (size_t)(q->groups - 1 - place) * sizeof *group);
    if (kept.count) q->group[q->groups - 1] = kept;
    else q->groups--;
}
