"""usage: merge_check.py files FOLDER [TEXTS.jsonl] | load FOLDER | llama FILE.gguf OUT.jsonl
files: transformers takes the folder's configuration and tokenizer; every text gives the ids that stand beside it. load: it
loads the weights with no missing and no unexpected key. llama: llama.cpp's greedy ids after those of `prompt` are those of
`ids`, up to a step where its two best logits are closer than 0.3, in each line of OUT.jsonl. Exit code 77: a package that
this needs is not installed."""
import json
import sys


def need(name):
    try:
        return __import__(name)
    except ImportError:
        print(f"no package {name}")
        sys.exit(77)


def files(folder, texts=None):
    transformers = need("transformers")
    config = transformers.AutoConfig.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    count = 0
    for line in open(texts, encoding="utf-8") if texts else []:
        row = json.loads(line)
        ids = tokenizer.encode(row["text"])
        assert ids == row["ids"], (row["text"], ids, row["ids"])
        count += 1
    print(type(config).__name__, config.dtype, type(tokenizer).__name__, count, "texts")


def load(folder):
    transformers, torch = need("transformers"), need("torch")
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    wrong = {k: list(v) for k, v in info.items() if v}
    assert not wrong, wrong
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.isfinite(model(ids).logits).all()
    print(type(model).__name__, model.dtype, sum(p.numel() for p in model.parameters()), "parameters")


def llama(path, results):
    llama_cpp, np = need("llama_cpp"), need("numpy")
    model = llama_cpp.Llama(path, n_ctx=512, logits_all=False, verbose=False)
    for line in open(results):
        row = json.loads(line)
        model.reset()
        model.eval(row["prompt"])
        for i, id in enumerate(row["ids"]):
            logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), (model.n_vocab(),))
            best = int(logits.argmax())
            margin = float(logits[best] - np.partition(logits, -2)[-2])
            if best != id:
                assert margin < 0.3, (i, best, id, margin)
                break
            model.eval([best])
    print(path, "ok")


{"files": files, "load": load, "llama": llama}[sys.argv[1]](*sys.argv[2:])
