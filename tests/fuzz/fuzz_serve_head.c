/* fuzz_serve_head.c: what is read of a request before its route is called. The first byte chooses: 0 mod 4: a path; 1:
 * a Host; 2: a key's two headers, cut at the first line end; 3: a body. */
#include <stdlib.h>
#include <string.h>
#include "../../src/serve/auth.h"
#include "../../src/serve/dispatch.h"
#include "../../src/serve/httpd_own.h"
#include "../../src/serve/routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What came out is a path, and finds a route or none. */
static void path(const char *text) {
    char allow[64], *decoded = path_decoded(text);
    const char *rest;
    if (!decoded) return;
    if (decoded[0] != '/' || strlen(decoded) > strlen(text)) abort();
    for (const char *c = decoded; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) abort();
    const Route *r = route_find("GET", decoded, &rest, allow);
    if (r && !strstr(allow, r->method)) abort();
    free(decoded);
}

/* Only the key itself opens. */
static void keys(char *text) {
    static Keys *k;
    Err err = {0};
    char *second = strchr(text, '\n');
    if (!k && (!(k = keys_new(&err)) || !keys_add(k, "name", "secret", 6, &err))) abort();
    if (second) *second++ = '\0';
    const char *name = keys_check(k, text, second);
    if (name && !strstr(text, "secret")) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char *const more[] = {"box.lan"};
    Err err = {0};
    if (bytes < 1) return 0;
    char *text = malloc(bytes);
    if (!text) return 0;
    memcpy(text, data + 1, bytes - 1);
    text[bytes - 1] = '\0';
    switch (data[0] % 4) {
    case 0: path(text); break;
    case 1: host_allowed(text, more, 1); break;
    case 2: keys(text); break;
    default: json_decref(body_json(text, bytes - 1, &err));
    }
    free(text);
    return 0;
}
