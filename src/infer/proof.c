/* proof.c: see proof.h. */
#include "proof.h"
#include <openssl/evp.h>
#include <stdlib.h>

struct Proof {
    EVP_MD_CTX *hash;
    bool failed; /* once: told where the text is asked for */
};

static bool no_hash(Err *err) { return err_as(err, QM_MEMORY, "the SHA-256 of logits cannot be had"); }

static Proof *proof_begin(const EVP_MD_CTX *from, Err *err) {
    Proof *p = mem_new(1, sizeof *p, "a proof", err);
    if (!p) return NULL;
    if ((p->hash = EVP_MD_CTX_new()) &&
        (from ? EVP_MD_CTX_copy_ex(p->hash, from) : EVP_DigestInit_ex(p->hash, EVP_sha256(), NULL)) == 1)
        return p;
    no_hash(err);
    proof_free(p);
    return NULL;
}

Proof *proof_new(Err *err) { return proof_begin(NULL, err); }

Proof *proof_copy(const Proof *from, Err *err) {
    Proof *p = proof_begin(from->hash, err);
    if (p) p->failed = from->failed;
    return p;
}

void proof_add(Proof *p, const float *row, int64_t count) {
    if (p && EVP_DigestUpdate(p->hash, row, (size_t)count * sizeof *row) != 1) p->failed = true;
}

bool proof_text(const Proof *p, char out[PROOF_TEXT], Err *err) {
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    Proof *end = proof_copy(p, err);
    if (!end) return false;
    bool ok = (!end->failed && EVP_DigestFinal_ex(end->hash, sum, &n) == 1) || no_hash(err);
    proof_free(end);
    for (unsigned i = 0; ok && i < n && 2 * i + 1 < PROOF_TEXT; i++) {
        out[2 * i] = digits[sum[i] >> 4];
        out[2 * i + 1] = digits[sum[i] & 15];
    }
    if (ok) out[PROOF_TEXT - 1] = 0;
    return ok;
}

void proof_free(Proof *p) {
    if (p) EVP_MD_CTX_free(p->hash);
    free(p);
}
