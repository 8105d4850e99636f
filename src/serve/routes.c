/* routes.c: THE TABLE OF ROUTES: the tables of all families, in the order in which they are looked through. */
#include "routes.h"
#include <stdio.h>
#include <string.h>

static const Route *const tables[] = {state_routes, openai_routes, anthropic_routes, responses_routes,
                                      ollama_routes, page_routes, NULL};

/* Whether a path is a row's; *rest is what its star stands for. */
static bool matches(const Route *r, const char *path, const char **rest) {
    size_t n = strlen(r->path);
    bool star = n && r->path[n - 1] == '*';
    *rest = "";
    if (!star) return !strcmp(r->path, path);
    if (strncmp(r->path, path, n - 1) || !path[n - 1]) return false;
    *rest = path + n - 1;
    return true;
}

static void allow_add(char allow[64], const char *method) {
    size_t n = strlen(allow);
    if (!strstr(allow, method))
        snprintf(allow + n, 64 - n, "%s%s%s", n ? ", " : "", method, !strcmp(method, "GET") ? ", HEAD" : "");
}

const Route *route_find(const char *method, const char *path, const char **rest, char allow[64]) {
    const char *asked = !strcmp(method, "HEAD") ? "GET" : method, *found_rest = "";
    const Route *found = NULL, *r;
    allow[0] = '\0';
    for (int i = 0; (r = route_at(i)); i++) {
        const char *part;
        if (!matches(r, path, &part)) continue;
        allow_add(allow, r->method);
        bool exact = !*part;
        if (strcmp(r->method, asked) || (found && !exact)) continue;
        found = r;
        found_rest = part;
    }
    *rest = found_rest;
    return found;
}

const Route *route_at(int number) {
    for (const Route *const *t = tables; *t; t++)
        for (const Route *r = *t; r->method; r++)
            if (number-- == 0) return r;
    return NULL;
}

int route_number(const Route *route) {
    const Route *r;
    for (int i = 0; (r = route_at(i)); i++)
        if (r == route) return i;
    return -1;
}
