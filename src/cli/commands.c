/* commands.c: the table of commands. */
#include "cli.h"

const Command commands[] = {
    {"env", cmd_env, "what this program and machine are: versions, CPU, memory, bandwidth"},
    {"tokenize", cmd_tokenize, "text or chats to token ids, and back"},
    {"grammar", cmd_grammar, "which texts a JSON schema, a GBNF or a regex lets through"},
    {"run", cmd_run, "answer one prompt, streamed"},
    {"chat", cmd_chat, "talk with the model at the terminal"},
    {"generate", cmd_generate, "answer requests from a file, batched"},
    {"serve", cmd_serve, "the model over HTTP: OpenAI's interface and others"},
    {"replay", cmd_replay, "saved exchanges answered again, to the same bits"},
    {"forward", cmd_forward, "logits, hidden states and loss of given ids, as a file"},
    {"embed", cmd_embed, "a vector for each text, pooled from the last states"},
    {"train", cmd_train, "train a model or an adapter: the same bits on every mesh"},
    {"pull", cmd_pull, "download a model from the Hugging Face hub, checked and resumable"},
    {"pack", cmd_pack, "a model as one file, used where it is mapped: opens at once"},
    {"merge", cmd_merge, "a model, adapters worked in, as a folder or a GGUF file"},
    {"plan", cmd_plan, "who holds what on a mesh, from config.json alone"},
    {"eval", cmd_eval, "how good a model is: GSM8K, perplexity, choices; two compared"},
    {"bench", cmd_bench, "tokens per second per mesh, beside the read bandwidth"},
    {"export", cmd_export, "the programs of a mesh as StableHLO text, from config.json alone"},
    {"compile", cmd_compile, "what a plugin's compiler makes of a mesh, from config.json alone"},
    {NULL, NULL, NULL},
};
