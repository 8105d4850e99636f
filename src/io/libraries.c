/* libraries.c: jansson loses parts of texts, and OpenSSL and libcurl can crash, where there is no memory: here each
 * ends the program instead, or lives on a reserve (guard.h). */
#include <curl/curl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "../base/guard.h"
#include "libraries.h"

static void *crypto_malloc(size_t bytes, const char *file, int line) {
    (void)file, (void)line;
    return bytes ? guard_malloc(bytes) : NULL;
}

static void *crypto_realloc(void *p, size_t bytes, const char *file, int line) {
    (void)file, (void)line;
    if (bytes) return guard_realloc(p, bytes);
    guard_free(p);
    return NULL;
}

static void crypto_free(void *p, const char *file, int line) {
    (void)file, (void)line;
    guard_free(p);
}

void libraries_start(void) {
    json_set_alloc_funcs(guard_malloc, guard_free);
    CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free);
    OPENSSL_init_crypto(OPENSSL_INIT_ADD_ALL_DIGESTS, NULL);
    EVP_MD_free(EVP_MD_fetch(NULL, "SHA256", NULL)); /* loads the provider, which workers then only look up */
}

static char *curl_strdup(const char *text) {
    size_t bytes = strlen(text) + 1;
    return memcpy(guard_malloc(bytes), text, bytes);
}

void libraries_start_http(void) {
    curl_global_init_mem(CURL_GLOBAL_DEFAULT, guard_malloc, guard_free, guard_realloc, curl_strdup, guard_calloc);
}
