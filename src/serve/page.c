/* page.c: the chat page. It loads nothing and runs nothing but what is in it: its policy names the hashes of its own
 * script and style, and lets it speak to this server alone; no text can become HTML in it (trusted-types). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "page_data.h"
#include "routes.h"
#include "server.h"

enum { ETAG_BYTES = 64 };

/* The next element of a comma-separated list, trimmed; false at its end. */
static bool next_element(const char **list, const char **element, size_t *bytes) {
    const char *at = *list + strspn(*list, " \t,");
    if (!*at) return false;
    size_t n = strcspn(at, ",");
    *list = at + n;
    while (n && (at[n - 1] == ' ' || at[n - 1] == '\t')) n--;
    *element = at, *bytes = n;
    return true;
}

/* Whether Accept-Encoding takes gzip. Without the header some clients cannot read it, so they get the file as it is. */
static bool takes_gzip(const char *accept) {
    const char *element;
    size_t bytes;
    bool any = false;
    while (accept && next_element(&accept, &element, &bytes)) {
        size_t name = 0;
        while (name < bytes && !strchr("; \t", element[name])) name++;
        const char *q = memchr(element, ';', bytes);
        bool refused = q && (q = strpbrk(q, "qQ")) && q < element + bytes && q[1] == '=' && strtod(q + 2, NULL) <= 0;
        if (name == 4 && !strncasecmp(element, "gzip", 4)) return !refused;
        if (name == 1 && *element == '*') any = !refused;
    }
    return any;
}

/* Whether If-None-Match has it. A weak form compares equal here (RFC 9110, 13.1.2). */
static bool has_etag(const char *list, const char *etag) {
    const char *element;
    size_t bytes;
    while (list && next_element(&list, &element, &bytes)) {
        if (bytes == 1 && *element == '*') return true;
        if (bytes > 2 && !strncmp(element, "W/", 2)) element += 2, bytes -= 2;
        if (bytes == strlen(etag) && !memcmp(element, etag, bytes)) return true;
    }
    return false;
}

static void page(Call *call) {
    Exchange *x = call->exchange;
    if (call->server->options->no_page)
        return serve_error(call, 404, "not_found_error", NULL, NULL,
                           "the server was started without its page (--no-page)");
    bool gzip = takes_gzip(exchange_header(x, "Accept-Encoding"));
    char etag[ETAG_BYTES], policy[512];
    snprintf(etag, sizeof etag, "\"%s%s\"", page_hash, gzip ? "-gzip" : "");
    snprintf(policy, sizeof policy,
             "default-src 'none'; script-src '%s'; style-src '%s'; connect-src 'self'; img-src 'self' data:; "
             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
             "trusted-types 'none'",
             page_script_hash, page_style_hash);
    exchange_set(x, "ETag", etag);
    exchange_set(x, "Cache-Control", "no-cache");
    exchange_set(x, "Vary", "Accept-Encoding");
    exchange_set(x, "Content-Security-Policy", policy);
    exchange_set(x, "X-Content-Type-Options", "nosniff");
    exchange_set(x, "Referrer-Policy", "no-referrer");
    exchange_set(x, "Cross-Origin-Opener-Policy", "same-origin");
    if (has_etag(exchange_header(x, "If-None-Match"), etag)) return exchange_reply(x, 304, NULL, 0);
    size_t bytes = gzip ? page_gzip_bytes : page_html_bytes;
    char *copy = malloc(bytes);
    if (!copy) return serve_error(call, 500, "server_error", NULL, NULL, "no memory for the page of %zu bytes", bytes);
    memcpy(copy, gzip ? page_gzip : page_html, bytes);
    exchange_set(x, "Content-Type", "text/html; charset=utf-8");
    if (gzip) exchange_set(x, "Content-Encoding", "gzip");
    exchange_reply(x, 200, copy, bytes);
}

const Route page_routes[] = {
    {.method = "GET", .path = "/", .what = "the chat page", .handle = page, .open = true, .early = true},
    {.method = NULL},
};
