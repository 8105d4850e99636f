// llama_greedy.cpp: what llama.cpp makes of a GGUF file, for dev/llama_check.sh.
//   llama_greedy ids FILE N ID...    the N greedy ids after these, each as ID:MARGIN (best logit less second best)
//   llama_greedy texts FILE          of each "BYTES\nTEXT\n" on standard input the ids, a line each
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
#include "llama.h"

static int greedy(llama_model *model, int steps, std::vector<llama_token> ids) {
    llama_context_params p = llama_context_default_params();
    p.n_ctx = p.n_batch = 512;
    p.type_k = p.type_v = GGML_TYPE_F32;
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    llama_context *context = llama_init_from_model(model, p);
    int vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    for (int i = 0; i < steps; i++) {
        if (!context || llama_decode(context, llama_batch_get_one(ids.data(), (int)ids.size()))) return 1;
        const float *logits = llama_get_logits_ith(context, -1);
        int best = 0;
        float second = -1e30f;
        for (int k = 1; k < vocab; k++) {
            if (logits[k] > logits[best]) second = logits[best], best = k;
            else if (logits[k] > second) second = logits[k];
        }
        printf("%d:%g ", best, (double)(logits[best] - second));
        ids.assign(1, best);
    }
    puts("");
    return 0;
}

static int texts(const llama_vocab *vocab) {
    int bytes;
    while (scanf("%d", &bytes) == 1 && getchar() == '\n') {
        std::string text((size_t)bytes, '\0');
        std::vector<llama_token> ids((size_t)bytes + 16);
        if (bytes && fread(&text[0], 1, (size_t)bytes, stdin) != (size_t)bytes) return 1;
        int count = llama_tokenize(vocab, text.data(), bytes, ids.data(), (int)ids.size(), true, true);
        for (int i = 0; i < count; i++) printf("%d ", ids[(size_t)i]);
        puts("");
    }
    return 0;
}

int main(int argc, char **argv) {
    bool words = argc == 3 && !strcmp(argv[1], "texts");
    if (!words && (argc < 5 || strcmp(argv[1], "ids"))) return 2;
    llama_log_set(
        [](ggml_log_level level, const char *text, void *) {
            if (level >= GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
        },
        nullptr);
    llama_model_params p = llama_model_default_params();
    p.vocab_only = words;
    llama_model *model = llama_model_load_from_file(argv[2], p);
    if (!model) return 1;
    if (words) return texts(llama_model_get_vocab(model));
    std::vector<llama_token> ids;
    for (int i = 4; i < argc; i++) ids.push_back(atoi(argv[i]));
    return greedy(model, atoi(argv[3]), ids);
}
