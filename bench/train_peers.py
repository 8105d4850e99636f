"""What train_peers.sh runs: rounds of our steps and torch's in turn, and the table of them.
Usage: train_peers.py PYTHON CONFIG.json BATCH SEQ STEPS LORA_RANK ROUNDS THREADS f32|bf16..."""
import json
import os
import statistics
import subprocess
import sys
import tempfile

python, config = sys.argv[1:3]
batch, seq, steps, rank, rounds, threads = map(int, sys.argv[3:9])
types = sys.argv[9:]


def peak_of(command):
    """Runs it; its standard output, and the most memory it had in GB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate()
    if process.returncode:
        sys.exit("train_peers: %s: %s" % (command[0], err.strip()[-400:]))
    return out


def ours(folder, model, lora, act):
    log, out = os.path.join(folder, "log.jsonl"), tempfile.mkdtemp(dir=folder)
    command = ["./qwenmesh", "train", *model, "--data", os.path.join(folder, "ids.jsonl"), "-o", os.path.join(out, "model"),
               "--max-steps", str(steps + 1), "--batch-size", str(batch), "--micro-batch", str(batch), "--seq-len", str(seq),
               "--learning-rate", "1e-4", "--log", log, "-t", str(threads), "--act", act, *lora]
    # The child's memory is told by a shell in between, which waits for it alone.
    tell = "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=2);" \
           "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6); sys.exit(code)"
    peak = float(peak_of([sys.executable, "-c", tell, *command]))
    lines = [json.loads(line) for line in open(log)]
    os.remove(log)
    return [l["tokens"] / l["seconds"] for l in lines if "tokens" in l][1:], peak


def torch(act):
    out = peak_of([python, "bench/peer_train.py", config, str(batch), str(seq), str(steps), str(rank), str(threads), act])
    values = dict(peak=0.0, speed=[])
    for line in out.split("\n"):
        if line.startswith("torch "):
            values["speed"].append(float(line.split()[1]))
        elif line.startswith("torch-gb"):
            values["peak"] = float(line.split()[1])
    return values["speed"], values["peak"]


with tempfile.TemporaryDirectory() as folder:
    vocabulary = json.load(open(config))["vocab_size"]
    with open(os.path.join(folder, "ids.jsonl"), "w") as f:
        for row in range(batch):
            print(json.dumps({"ids": [(row * 7919 + i * 104729) % vocabulary for i in range(seq)]}), file=f)
    model, lora = ["--init", config], []
    if rank:  # an adapter begins beside a saved model
        base = os.path.join(folder, "base")
        peak_of(["./qwenmesh", "train", "--init", config, "--data", os.path.join(folder, "ids.jsonl"), "-o", base,
                 "--max-steps", "1", "--batch-size", "1", "--seq-len", str(seq)])
        model, lora = ["-m", base], ["--lora-r", str(rank), "--lora-alpha", str(2 * rank), "--lora-targets", "all-linear"]
    speed, peak, ratios = {}, {}, {act: [] for act in types}
    for act in types * rounds:
        mine, theirs = ours(folder, model, lora, act), torch(act)
        for name, (values, most) in ((act + "ours", mine), (act + "torch", theirs)):
            speed[name] = speed.get(name, []) + values
            peak[name] = max(peak.get(name, 0.0), most)
        ratios[act].append(statistics.median(mine[0]) / statistics.median(theirs[0]))
    print("| model | step | qwenmesh tok/s, best and median | torch tok/s | median ratio | peak GB, ours and torch |")
    print("|---|---|---|---|---|---|")
    for act in types:
        mine, theirs = speed[act + "ours"], speed[act + "torch"]
        print("| %s | %s, %d x %d, %s | %.1f, %.1f | %.1f, %.1f | %.2f | %.1f, %.1f |" % (
            os.path.basename(config)[:-5], "LoRA r %d" % rank if rank else "full", batch, seq, act, max(mine),
            statistics.median(mine), max(theirs), statistics.median(theirs), statistics.median(ratios[act]),
            peak[act + "ours"], peak[act + "torch"]))
