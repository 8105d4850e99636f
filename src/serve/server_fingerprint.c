/* server_fingerprint.c: the SHA-256 of the program's version, what the model is and how it computes, as far as it is known
 * without reading the weights. */
#include "server_fingerprint.h"
#include <openssl/sha.h>

void server_fingerprint_set(Server *s) {
    const QmModelInfo *i = qm_engine_info(s->model.engine);
    Text text = {0};
    unsigned char hash[SHA256_DIGEST_LENGTH] = {0};
    text_line(&text, "%s|%s|%s|%s|%s|%s|%lld|%lld|%lld|%s", qm_version(), i->architecture, i->head, i->weight_type,
              i->act, i->kv_cache, (long long)i->parameters, (long long)i->weight_bytes, (long long)i->vocab,
              i->packed_parts);
    if (!text.failed) SHA256((const unsigned char *)text.data, text.bytes, hash);
    snprintf(s->fingerprint, sizeof s->fingerprint, "fp_%02x%02x%02x%02x%02x%02x%02x%02x", hash[0], hash[1], hash[2],
             hash[3], hash[4], hash[5], hash[6], hash[7]);
    text_free(&text);
}
