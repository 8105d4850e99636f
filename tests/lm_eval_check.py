"""Holds our scores and prompts against the lm_eval package's own task files, where python has it (read, not imported).
  lm_eval_check.py                      exits 0 if the package is there
  lm_eval_check.py texts                prints random outputs to score
  lm_eval_check.py TASK SCORED          compares verdicts (TASK: lm-eval or lm-eval-cot)
  lm_eval_check.py prompts RESULTS TRAIN SHOTS
  lm_eval_check.py turns RESULTS TRAIN SHOTS     the same with --chat --multiturn, rendered as ChatML
"""
import importlib.util, json, os, random, re, sys
import yaml

tasks = os.path.join(os.path.dirname(importlib.util.find_spec("lm_eval").origin), "tasks", "gsm8k")


def task(name):
    with open(os.path.join(tasks, {"lm-eval": "gsm8k.yaml", "lm-eval-cot": "gsm8k-cot.yaml"}[name])) as f:
        return yaml.safe_load(f)


def extract(filter, text):
    found = re.findall(filter["regex_pattern"], text)
    if not found:
        return "[invalid]"
    match = found[filter.get("group_select", 0)]
    if isinstance(match, tuple):
        match = [m for m in match if m][0]
    return match.strip()


def normal(text, metric):
    for pattern in metric["regexes_to_ignore"]:
        text = re.sub(pattern, "", text)
    return text.lower()


def texts():
    random.seed(3)
    pieces = ["18", "1,450", "-5", ".", "..", ",", "$", "-", "#### ", "####", "The answer is ", "the answer", "\n", " ", "x",
              "18.", "é", "3.50", "0", "#", "Q:", "\u0661", "\\boxed{18}"]
    for i in range(4000):
        out = "".join(random.choice(pieces) for _ in range(random.randint(0, 9)))
        print(json.dumps({"gold": "why\n#### " + random.choice(["18", "-5", "1,450", "0"]), "output": out}))


def compare(name, path):
    config = task(name)
    bad = 0
    for line in open(path):
        o = json.loads(line)
        gold = o["gold"].split("####")[-1].strip() if name == "lm-eval-cot" else o["gold"]
        for f in config["filter_list"]:
            got = extract(f["filter"][0], o["output"])
            right = normal(got, config["metric_list"][0]) == normal(gold, config["metric_list"][0])
            if got != o["extracted"][f["name"]] or right != o["correct"][f["name"]]:
                print(f["name"], repr(o["output"]), "package:", got, right, "ours:", o["extracted"], o["correct"])
                bad += 1
    return bad


def prompts(path, train, shots):
    pool = [json.loads(line) for line in open(train)]
    rnd = random.Random(1234)
    for line in list(open(path))[1:]:
        o = json.loads(line)
        want = "".join("Question: %s\nAnswer: %s\n\n" % (d["question"], d["answer"]) for d in rnd.sample(pool, shots))
        if o["prompt"] != want + "Question: %s\nAnswer:" % o["question"]:
            return 1
    return 0


def turns(path, train, shots):
    pool = [json.loads(line) for line in open(train)]
    rnd, ask = random.Random(1234), task("lm-eval")["doc_to_text"]
    say = lambda role, text: "<|im_start|>%s\n%s<|im_end|>\n" % (role, text)
    for line in list(open(path))[1:]:
        o = json.loads(line)
        want = say("system", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.")
        for d in rnd.sample(pool, shots):
            want += say("user", ask.replace("{{question}}", d["question"])) + say("assistant", d["answer"])
        if o["prompt"] != want + say("user", ask.replace("{{question}}", o["question"])) + "<|im_start|>assistant\n":
            return 1
    return 0


what = sys.argv[1] if len(sys.argv) > 1 else None
if what is None:
    sys.exit(0 if os.path.isdir(tasks) else 1)
if what == "texts":
    texts()
elif what == "turns":
    sys.exit(turns(sys.argv[2], sys.argv[3], int(sys.argv[4])))
elif what == "prompts":
    sys.exit(prompts(sys.argv[2], sys.argv[3], int(sys.argv[4])))
else:
    sys.exit(1 if compare(what, sys.argv[2]) else 0)
