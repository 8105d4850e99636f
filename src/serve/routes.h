/* routes.h: the tables of routes, one of each family, and how a row is found. */
#ifndef ROUTES_H
#define ROUTES_H
#include "route.h"

/* Tables that have rows: each stands in the file of its family, and in the list of routes.c. */
extern const Route state_routes[];  /* state_routes.c  */
extern const Route openai_routes[]; /* openai_routes.c */
extern const Route page_routes[];   /* page.c          */
extern const Route anthropic_routes[], responses_routes[], ollama_routes[]; /* ..._answer.c, ollama_routes.c */

/* The row; NULL: none, and `allow` has the methods of that path ("GET, HEAD"), or is empty: there is no such path. *rest
 * is what a star stands for, within `path`; else "". A row without a star comes before one with. */
const Route *route_find(const char *method, const char *path, const char **rest, char allow[64]);
/* Rows by number, counted through all tables; NULL: there is none. */
const Route *route_at(int number);
int route_number(const Route *route); /* -1: of NULL */
#endif
