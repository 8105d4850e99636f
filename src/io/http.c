/* http.c: GET over libcurl. One easy handle, reused, so connections stay open between files. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "http.h"

enum { REDIRECT_LIMIT = 8, HEADER_LIMIT = 256 << 10, URL_LIMIT = 16 << 10, TEXT_ATTEMPTS = 4 };

typedef struct Origin { char *scheme, *host, *port; } Origin;

struct Http {
    HttpOptions options;
    CURL *curl;
    Origin origin;              /* of the endpoint */
    struct curl_slist *bearer;  /* the Authorization header, for that origin only */
};

/* ---- Origins ----------------------------------------------------------------------------------------------------- */

static void origin_free(Origin *o) {
    curl_free(o->scheme);
    curl_free(o->host);
    curl_free(o->port);
    *o = (Origin){0};
}

static bool origin_of(const char *url, Origin *o, Err *err) {
    *o = (Origin){0};
    CURLU *parts = curl_url();
    bool ok = parts && strlen(url) < URL_LIMIT && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_SCHEME, &o->scheme, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_HOST, &o->host, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_PORT, &o->port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              (!strcmp(o->scheme, "https") || !strcmp(o->scheme, "http"));
    curl_url_cleanup(parts);
    if (ok) return true;
    origin_free(o);
    return err_as(err, QM_IO, "expected a URL that begins with https:// or http://, got '%.100s'", url);
}

static bool origin_equal(const Origin *a, const Origin *b) {
    return !strcmp(a->scheme, b->scheme) && !strcasecmp(a->host, b->host) && !strcmp(a->port, b->port);
}

/* ---- The handle -------------------------------------------------------------------------------------------------- */

static bool interrupted(const Http *http) { return http->options.interrupted && *http->options.interrupted; }

static int stop_when_interrupted(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a, (void)b, (void)c, (void)d;
    return interrupted(context);
}

static bool text_is_plain(const char *text) {
    for (; *text; text++)
        if (*text <= 0x20 || *text >= 0x7f) return false;
    return true;
}

/* libcurl reads proxies from the environment by itself, but not the certificates that the curl program takes from
 * there. */
static const char *certificates(void) {
    const char *file = getenv("CURL_CA_BUNDLE");
    if (!file || !*file) file = getenv("SSL_CERT_FILE");
    return file && *file ? file : NULL;
}

Http *http_new(const HttpOptions *options, Err *err) {
    Http *http = mem_new(1, sizeof *http, "HTTP client", err);
    if (!http) return NULL;
    http->options = *options;
    bool ok = text_is_plain(options->endpoint) ||
              err_as(err, QM_IO, "expected a URL without spaces, got '%.100s'", options->endpoint);
    ok = ok && origin_of(options->endpoint, &http->origin, err);
    if (!ok) err_prefix(err, "endpoint");
    if (ok && options->token && !text_is_plain(options->token))
        ok = err_as(err, QM_IO, "token: expected one line of printable characters");
    if (ok && options->token) {
        Text line = {0};
        text_line(&line, "Authorization: Bearer %s", options->token);
        ok = text_ok(&line, "token", err);
        if (ok) http->bearer = curl_slist_append(NULL, line.data);
        text_free(&line);
    }
    if (ok && (!(http->curl = curl_easy_init()) || (options->token && !http->bearer)))
        ok = err_as(err, QM_MEMORY, "out of memory: HTTP client");
    if (!ok) {
        http_free(http);
        return NULL;
    }
    CURL *c = http->curl;
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "qwenmesh/" QM_VERSION);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)options->stall_seconds);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1000L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)options->stall_seconds);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, stop_when_interrupted);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, http);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    if (certificates()) curl_easy_setopt(c, CURLOPT_CAINFO, certificates());
    return http;
}

void http_free(Http *http) {
    if (!http) return;
    curl_easy_cleanup(http->curl);
    curl_slist_free_all(http->bearer);
    origin_free(&http->origin);
    free(http);
}

/* ---- One request ------------------------------------------------------------------------------------------------- */

typedef struct Answer {
    Http *http;
    HttpSink sink;
    void *context;
    int64_t from;               /* asked for */
    HttpHead head;
    int64_t at;                 /* of the next piece; -1 before the first */
    bool refused;               /* by us, `err` says why */
    Err *err;
} Answer;

/* The value of header line "Name: value" if it is `name`, without the line's end; NULL otherwise. */
static const char *header_value(const char *line, size_t bytes, const char *name, size_t *length) {
    size_t n = strlen(name);
    if (bytes <= n || strncasecmp(line, name, n) != 0 || line[n] != ':') return NULL;
    const char *value = line + n + 1, *end = line + bytes;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) end--;
    *length = (size_t)(end - value);
    return value;
}

bool http_head_line(HttpHead *head, const char *line, size_t bytes, Err *err) {
    size_t length;
    head->bytes += bytes;
    if (head->bytes > HEADER_LIMIT) return err_as(err, QM_IO, "the server's header is larger than %d bytes",
                                                  HEADER_LIMIT);
    const char *value = header_value(line, bytes, "Content-Range", &length);
    if (value) {
        char text[64];
        long long from;
        snprintf(text, sizeof text, "%.*s", (int)(length < 63 ? length : 63), value);
        head->range = sscanf(text, "bytes %lld-", &from) == 1 && from >= 0 ? from : -1;
    }
    value = header_value(line, bytes, "Link", &length);
    if (value && !head->link.bytes) text_add(&head->link, value, length);
    return text_ok(&head->link, "the server's header", err);
}

static size_t take_header(char *line, size_t size, size_t count, void *context) {
    Answer *answer = context;
    answer->refused = !http_head_line(&answer->head, line, size * count, answer->err);
    return answer->refused ? 0 : size * count;
}

static size_t take_body(char *data, size_t size, size_t count, void *context) {
    Answer *answer = context;
    size_t bytes = size * count;
    long status = 0;
    curl_easy_getinfo(answer->http->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 && status != 206) return bytes; /* pages that explain an error or a redirect */
    if (status == 206 && answer->head.range != answer->from) {
        answer->refused = true;
        err_as(answer->err, QM_IO, "expected the bytes from %lld on, got those from %lld", (long long)answer->from,
               (long long)answer->head.range);
        return 0;
    }
    if (answer->at < 0) answer->at = status == 206 ? answer->from : 0;
    const char *link = answer->head.link.data ? answer->head.link.data : "";
    answer->refused = !answer->sink(answer->context, answer->at, (const uint8_t *)data, bytes, link, answer->err);
    answer->at += (int64_t)bytes;
    return answer->refused ? 0 : bytes;
}

static HttpOutcome explain_status(const Http *http, long status, Err *err) {
    const char *why;
    switch (status) {
    case 401:
        why = http->options.token ? "the token is not accepted, or the repository does not exist"
                                  : "a token is needed (HF_TOKEN or --token-file), or the repository does not exist";
        break;
    case 403: why = "not allowed: the terms of a gated model are accepted on its page, with the token's account"; break;
    case 404: why = "no such repository, revision or file"; break;
    case 416: why = "the file is shorter than the hub said"; break;
    case 429: why = "too many requests"; break;
    default: why = status >= 500 ? "the server failed" : "unexpected"; break;
    }
    err_as(err, QM_IO, "the server answered %ld: %s", status, why);
    return status == 408 || status == 429 || status >= 500 ? HTTP_AGAIN : HTTP_FAILED;
}

/* What libcurl could not do. Most failures of a network pass; a certificate or a bad URL does not change by waiting. */
static HttpOutcome explain_failure(const Http *http, CURLcode code, const char *detail, Err *err) {
    if (interrupted(http)) {
        err_as(err, QM_INTERRUPTED, "interrupted");
        return HTTP_FAILED;
    }
    if (code == CURLE_OPERATION_TIMEDOUT)
        err_as(err, QM_IO, "the server stalled for %lld s", (long long)http->options.stall_seconds);
    else err_as(err, QM_IO, "%s", detail[0] ? detail : curl_easy_strerror(code));
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_OUT_OF_MEMORY: return HTTP_FAILED;
    default: return HTTP_AGAIN;
    }
}

/* One hop. *next is set when the server redirects; borrowed from the handle until the next hop. */
static HttpOutcome one_hop(Answer *answer, const char *url, char **next) {
    Http *http = answer->http;
    CURL *c = http->curl;
    Err *err = answer->err;
    Origin origin;
    char range[32], detail[CURL_ERROR_SIZE] = "";
    if (!origin_of(url, &origin, err)) return HTTP_FAILED;
    bool ours = origin_equal(&origin, &http->origin);
    bool downgrade = !strcmp(http->origin.scheme, "https") && strcmp(origin.scheme, "https") != 0;
    origin_free(&origin);
    if (downgrade) {
        err_as(err, QM_IO, "refused: redirected from https to http");
        return HTTP_FAILED;
    }
    snprintf(range, sizeof range, "%lld-", (long long)answer->from);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, ours ? http->bearer : NULL);
    curl_easy_setopt(c, CURLOPT_RANGE, answer->from > 0 ? range : NULL);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, answer);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, detail);
    answer->head.range = answer->at = -1;
    answer->head.bytes = 0;
    CURLcode code = curl_easy_perform(c);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, NULL);
    if (answer->refused) return HTTP_FAILED;
    if (code != CURLE_OK) return explain_failure(http, code, detail, err);
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, next);
    if (*next) return HTTP_OK;
    return status == 200 || status == 206 ? HTTP_OK : explain_status(http, status, err);
}

HttpOutcome http_get(Http *http, const char *url, int64_t from, HttpSink sink, void *context, Err *err) {
    Answer answer = {.http = http, .sink = sink, .context = context, .from = from, .err = err};
    char *at = strdup(url);
    HttpOutcome outcome = HTTP_OK;
    if (!at) err_as(err, QM_MEMORY, "out of memory: URL");
    for (int hop = 0; at; hop++) {
        char *next = NULL, *copy = NULL;
        outcome = one_hop(&answer, at, &next);
        if (outcome == HTTP_OK && next) {
            if (hop >= REDIRECT_LIMIT) err_as(err, QM_IO, "more than %d redirects", REDIRECT_LIMIT);
            else if (!(copy = strdup(next))) err_as(err, QM_MEMORY, "out of memory: URL");
        }
        free(at);
        at = copy;
    }
    text_free(&answer.head.link);
    return outcome == HTTP_OK && err->kind ? HTTP_FAILED : outcome;
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

typedef struct Page { Text text, link; size_t limit; } Page;

static bool page_take(void *context, int64_t at, const uint8_t *data, size_t bytes, const char *link, Err *err) {
    Page *page = context;
    (void)at;
    if (page->text.bytes + bytes > page->limit)
        return err_as(err, QM_IO, "the server's answer is larger than %zu bytes", page->limit);
    if (!page->link.bytes) text_add(&page->link, link, strlen(link));
    text_add(&page->text, (const char *)data, bytes);
    return text_ok(&page->text, "answer", err) && text_ok(&page->link, "answer", err);
}

char *http_get_text(Http *http, const char *url, size_t limit, size_t *bytes, char **link, Err *err) {
    for (int attempt = 1;; attempt++) {
        Page page = {.limit = limit};
        Err why = {0};
        HttpOutcome outcome = http_get(http, url, 0, page_take, &page, &why);
        text_add(&page.text, "", 0);
        if (outcome == HTTP_OK && text_ok(&page.text, "answer", &why)) {
            *bytes = page.text.bytes;
            if (link) *link = page.link.bytes ? page.link.data : NULL;
            if (!link || !*link) text_free(&page.link);
            return page.text.data;
        }
        text_free(&page.text);
        text_free(&page.link);
        if (outcome != HTTP_AGAIN || attempt == TEXT_ATTEMPTS || !http_wait(http, attempt, &why)) {
            err_from(err, &why);
            return NULL;
        }
    }
}

bool http_wait(const Http *http, int number, Err *err) {
    double end =
        clock_seconds() + (double)http->options.stall_seconds / 60 * (double)(1 << (number < 6 ? number - 1 : 5));
    while (clock_seconds() < end) {
        if (interrupted(http)) {
            *err = (Err){0};
            return err_as(err, QM_INTERRUPTED, "interrupted");
        }
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return true;
}
