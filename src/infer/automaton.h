/* automaton.h: finite automata over code points: what a string or a number of a JSON schema may be. Patterns, lengths,
 * formats and words become automata, which are then joined, intersected and subtracted. They live in an arena. */
#ifndef AUTOMATON_H
#define AUTOMATON_H
#include "../base/base.h"

typedef struct CodeRange { int32_t low, high; } CodeRange;
typedef struct Edge { int32_t low, high, to; } Edge;
/* Deterministic, starts in state 0, edges of a state sorted and apart. Every state can reach an accepting one; without
 * states nothing is accepted. Immutable. */
typedef struct Automaton {
    int32_t states;
    const Edge **edge;      /* [states][edges[state]] */
    const int32_t *edges;
    const uint8_t *accepts;
} Automaton;

enum { MAX_AUTOMATON_STATES = 1 << 15, MAX_AUTOMATON_WORK = 1 << 24 };
/* Where automata are made: all of one schema share the budget. */
typedef struct AutomatonShop { Arena arena; Err *err; int64_t work; } AutomatonShop;

/* All return NULL and an error when memory or the budget ends, and pass NULL on. */
const Automaton *automaton_any(AutomatonShop *s);
const Automaton *automaton_length(AutomatonShop *s, int64_t least, int64_t most); /* code points; most -1: no end */
const Automaton *automaton_words(AutomatonShop *s, const char *const *words, const size_t *bytes, size_t count);
const Automaton *automaton_pattern(AutomatonShop *s, const char *pattern, size_t bytes); /* found anywhere, ECMA-262 */
const Automaton *automaton_both(AutomatonShop *s, const Automaton *a, const Automaton *b);
const Automaton *automaton_either(AutomatonShop *s, const Automaton *a, const Automaton *b);
const Automaton *automaton_without(AutomatonShop *s, const Automaton *a, const Automaton *b); /* a, not b */

bool automaton_takes(const Automaton *a, const char *text, size_t bytes); /* well-formed UTF-8 */
/* Shortest and longest word; longest -1: no end. False when there is none. */
bool automaton_lengths(AutomatonShop *s, const Automaton *a, int64_t *shortest, int64_t *longest);

/* For those who make automata: edges in any order of states, each state's in ascending order; unreachable and dead
 * states are left out of the result. */
typedef struct AutomatonDraft {
    struct DraftEdge { int32_t low, high, to, next; } *edge; /* next: the same state's one before */
    struct DraftState { int32_t last; uint8_t accepts; } *state;
    size_t edges, edge_room, states, state_room;
} AutomatonDraft;
int32_t draft_state(AutomatonShop *s, AutomatonDraft *d, bool accepts);
bool draft_edge(AutomatonShop *s, AutomatonDraft *d, int32_t from, int32_t low, int32_t high, int32_t to);
const Automaton *draft_finish(AutomatonShop *s, AutomatonDraft *d); /* frees the draft */
#endif
