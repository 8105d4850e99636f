"""lm-evaluation-harness against the server: gsm8k (10 questions) and multiple choice by log-likelihood, with the remote
tokenizer, beside the same by `qwenmesh eval`: the same answers and scores."""
import glob, json, os, re, subprocess, sys
import lm_eval

URL, WORK, QWENMESH, MODEL = (os.environ[n] for n in ("URL", "WORK", "QWENMESH", "MODEL"))
DATA = os.environ.get("GSM8K", "data/gsm8k")
QUESTIONS = int(os.environ.get("QUESTIONS", "10"))
tasks = WORK + "/tasks"
os.makedirs(tasks, exist_ok=True)
CHOICES = [
    ("The capital of France is", ["Paris.", "Madrid.", "Rome."], 0),
    ("Water freezes at a temperature of", ["fifty degrees.", "zero degrees Celsius.", "one thousand degrees."], 1),
    ("A dog is a kind of", ["mineral.", "planet.", "animal.", "metal"], 2),
    ("Plants make food from sunlight by", ["photosynthesis", "digestion", "erosion", "magnetism"], 0),
    ("The largest planet in our solar system is", ["Mars", "Jupiter", "Earth", "Venus"], 1),
    ("Two plus three equals", ["four", "five", "nine"], 1),
    ("Ice cream is usually", ["cold and sweet", "hot and salty", "made of stone"], 0),
    ("The opposite of up is", ["down", "left", "blue"], 0),
]
with open(WORK + "/choices.jsonl", "w") as f:
    for context, choices, gold in CHOICES:
        f.write(json.dumps({"context": context, "choices": choices, "gold": gold}) + "\n")
with open(tasks + "/choices_local.yaml", "w") as f:
    f.write(f"""task: choices_local
dataset_path: json
dataset_kwargs:
  data_files:
    test: {WORK}/choices.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{context}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{gold}}}}"
metric_list:
  - metric: acc
  - metric: acc_norm
""")


def harness(task, limit, **more):
    out = f"{WORK}/out-{task}"
    args = dict(model="smol", base_url=URL + "/v1/completions", tokenizer_backend="remote", num_concurrent=2, max_retries=1, **more)
    r = subprocess.run([sys.executable, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args",
                        ",".join(f"{k}={v}" for k, v in args.items()), "--tasks", task, "--include_path", tasks, "--limit", str(limit),
                        "--output_path", out, "--log_samples"], capture_output=True, text=True)
    if r.returncode:
        raise SystemExit(r.stdout[-2000:] + r.stderr[-4000:])
    samples = [json.loads(l) for l in open(glob.glob(f"{out}/**/samples_{task}_*.jsonl", recursive=True)[0])]
    return json.load(open(glob.glob(f"{out}/**/results_*.json", recursive=True)[0]))["results"][task], samples


def ours(*arguments):
    r = subprocess.run([QWENMESH, "eval", *arguments, "-m", MODEL, "--act", "auto", "--threads", "2"], capture_output=True, text=True)
    if r.returncode:
        raise SystemExit(r.stderr[-2000:])
    return r.stdout


scores, samples = harness("choices_local", 100)
ours("choice", "--in", WORK + "/choices.jsonl", "--out", WORK + "/choices.out")
mine = [json.loads(l) for l in open(WORK + "/choices.out")]
worst = 0.0
for s, m in zip(sorted(samples, key=lambda s: s["doc_id"]), mine):
    theirs = [float(r[0][0]) for r in s["resps"]]
    lls = m.get("loglikelihoods") or m.get("logprobs") or m.get("lls")
    worst = max([worst] + [abs(a - b) for a, b in zip(theirs, lls)])
acc = sum(bool(m["acc"]) for m in mine) / len(mine)
assert worst < 1e-4, f"log-likelihoods differ by {worst}"
assert abs(scores["acc,none"] - acc) < 1e-9, (scores, acc)
told = f"choice: acc {acc:.3f} both, log-likelihoods within {worst:.1e}"

if os.path.exists(DATA + "/train.jsonl"):
    text = open(glob.glob(os.path.dirname(lm_eval.__file__) + "/tasks/gsm8k/gsm8k.yaml")[0]).read()
    text = re.sub(r"(?m)^dataset_path:.*$", "dataset_path: json", text)
    text = re.sub(r"(?m)^dataset_name:.*\n", "", text)
    text = re.sub(r"(?m)^task:.*$", "task: gsm8k_local", text)
    text = re.sub(r"(?ms)^tag:\n(  - .*?\n)+", "", text)
    there = os.path.abspath(DATA)
    text += f"\ndataset_kwargs:\n  data_files:\n    train: {there}/train.jsonl\n    test: {there}/test.jsonl\n"
    open(tasks + "/gsm8k_local.yaml", "w").write(text)
    scores, samples = harness("gsm8k_local", QUESTIONS)
    ours("gsm8k", "--data", DATA, "--protocol", "lm-eval", "--limit", str(QUESTIONS), "--out", WORK + "/gsm8k.out")
    mine = [json.loads(l) for l in open(WORK + "/gsm8k.out")]
    by_id = {s["doc_id"]: s for s in samples}
    outputs = [m["output"] for m in mine if "output" in m]
    same = sum(by_id[i]["resps"][0][0] == o for i, o in enumerate(outputs))
    assert same == QUESTIONS, f"{same} of {QUESTIONS} outputs are the same: {by_id[0]['resps'][0][0]!r} {outputs[0]!r}"
    told += f"; gsm8k: {QUESTIONS} outputs the same, flexible-extract {scores['exact_match,flexible-extract']}"
print("lm_eval: " + told)
