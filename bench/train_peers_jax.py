"""What train_peers.sh -d runs: rounds of our steps on XLA's CPU plugin and of JAX's jitted step in turn, on the same mesh of
virtual devices; and the table of them. Seconds and CPU seconds (user and system) are medians of all steps but each run's
first; compiling is what the first step takes beyond such a step (ours by the clock: what the programs say they took).
Usage: train_peers_jax.py PYTHON CONFIG.json BATCH SEQ STEPS ROUNDS MESH..."""
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

python, config = sys.argv[1:3]
batch, seq, steps, rounds = map(int, sys.argv[3:7])
meshes = sys.argv[7:]


def cpu_seconds(pid):
    """Of all threads of a process so far, user and system."""
    fields = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def steps_of(command, line_of):
    """Runs it; line_of tells a step's seconds by a line of output, or None. Returns all lines, and [seconds, CPU seconds]
    of each step: what the process has spent since the step before; the first's CPU is since its start."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines, found, before = [], [], 0.0
    for line in process.stdout:
        lines.append(line)
        seconds = line_of(line)
        if seconds is not None:
            now = cpu_seconds(process.pid)
            found.append([seconds, now - before])
            before = now
    if process.wait() or len(found) != steps + 1:
        sys.exit("train_peers: %s: %s" % (" ".join(command), "".join(lines)[-1200:]))
    return lines, found


def ours(mesh, data):
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log.jsonl")
        command = ["./qwenmesh", "train", "--init", config, "--data", data, "-o", os.path.join(folder, "model"), "--max-steps",
                   str(steps + 1), "--batch-size", str(batch), "--micro-batch", str(batch), "--seq-len", str(seq),
                   "--learning-rate", "1e-4", "--log", log, "--logging-steps", "1", "--plugin", "cpu", "--mesh", mesh,
                   "--program-cache", os.path.join(folder, "programs"), "-v"]
        lines, found = steps_of(command, lambda line: 0.0 if re.match(r"step \d+/", line) else None)
        for at, line in enumerate(l for l in open(log) if '"loss"' in l):
            found[at][0] = json.loads(line)["seconds"]
        compiled = [float(s) for s in re.findall(r"compiled in ([0-9.]+) s", "".join(lines))]
    return found, sum(compiled)


def jax(mesh):
    devices = mesh if mesh.startswith("dp") else str(devices_of(mesh))
    line_of = lambda line: float(line.split()[1]) if line.startswith("jax") else None
    lines, found = steps_of([python, "bench/peer_train_jax.py", config, str(batch), str(seq), str(steps), devices], line_of)
    return found, found[0][0] - statistics.median(s for s, _ in found[1:])


def devices_of(mesh):
    product = 1
    for size in re.findall(r"\d+", mesh):
        product *= int(size)
    return product


with tempfile.TemporaryDirectory() as folder:
    vocabulary = json.load(open(config))["vocab_size"]
    data = os.path.join(folder, "ids.jsonl")
    with open(data, "w") as f:
        for row in range(batch):
            print(json.dumps({"ids": [(row * 7919 + i * 104729) % vocabulary for i in range(seq)]}), file=f)
    print("%s, %d x %d, f32, AdamW, clip 1: each pair is qwenmesh, JAX; a ratio above 1: qwenmesh takes less" % (
        os.path.basename(config)[:-5], batch, seq))
    print("| devices | mesh | step s, median | ratio | CPU s of a step | ratio | compile s | ratio | CPU s of the first step |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for mesh in meshes:
        values = {"ours": [], "jax": []}
        first = {"ours": [], "jax": []}
        for _ in range(rounds):
            for name, (found, compiled) in (("ours", ours(mesh, data)), ("jax", jax(mesh))):
                values[name] += found[1:]
                first[name].append((compiled, found[0][1]))
        pairs = [tuple(statistics.median(v[k] for v in values[name]) for name in ("ours", "jax")) for k in (0, 1)]
        pairs += [tuple(statistics.median(v[k] for v in first[name]) for name in ("ours", "jax")) for k in (0, 1)]
        print("| %d | %s | %.2f, %.2f | %.2f | %.2f, %.2f | %.2f | %.2f, %.2f | %.2f | %.1f, %.1f |" % (
            devices_of(mesh), mesh, *pairs[0], pairs[0][1] / pairs[0][0], *pairs[1], pairs[1][1] / pairs[1][0], *pairs[2],
            pairs[2][1] / pairs[2][0], *pairs[3]), flush=True)
