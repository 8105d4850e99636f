/* fuzz_http.c: heads of answers as arbitrary bytes, a line at a time as libcurl gives them. What is taken from them is
 * a place in a file, or where the next page is: within bounds, and a URL or nothing. */
#include <stdlib.h>
#include <string.h>
#include "../../src/io/http.h"
#include "../../src/io/hub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    HttpHead head = {.range = -1};
    bool ok = true;
    for (size_t at = 0; ok && at < bytes;) {
        const uint8_t *end = memchr(data + at, '\n', bytes - at);
        size_t n = end ? (size_t)(end - data) - at + 1 : bytes - at;
        char *line = malloc(n); /* of its own, so that a read past it is seen */
        if (!line) return 0;
        memcpy(line, data + at, n);
        ok = http_head_line(&head, line, n, NULL);
        free(line);
        at += n;
    }
    if (head.range < -1 || head.link.bytes > bytes) abort();
    if (head.link.bytes && strlen(head.link.data) <= head.link.bytes) free(hub_next_page(head.link.data, NULL));
    text_free(&head.link);
    return 0;
}
