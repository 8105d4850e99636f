"""What train_peers.sh -d runs: rounds of our steps on XLA's CPU plugin and of JAX's jitted step in turn, on the same mesh of
virtual devices; and the table of them. Seconds and CPU seconds (user and system) are medians of all steps but each run's
first. Compiling is what our programs say it took, and what JAX's first step took beyond the later ones.
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
    of each step: what the process has spent since the step before; the first's CPU seconds are since its start."""
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
        compiled = re.findall(r"compiled in ([0-9.]+) s \(([0-9.]+) of processors\)", "".join(lines))
    return found[1:], tuple(sum(float(c[k]) for c in compiled) for k in (0, 1))


def jax(mesh, _):
    devices = mesh if mesh.startswith("dp") else str(devices_of(mesh))
    line_of = lambda line: float(line.split()[1]) if line.startswith("jax") else None
    lines, found = steps_of([python, "bench/peer_train_jax.py", config, str(batch), str(seq), str(steps), devices], line_of)
    first = next(line.split() for line in lines if line.startswith("jax-first"))
    later = [statistics.median(step[k] for step in found[1:]) for k in (0, 1)]
    return found[1:], (float(first[1]) - later[0], float(first[3]) - later[1])


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
    print("| devices | mesh | step s | ratio | CPU s | ratio | compile s | ratio | CPU s | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for mesh in meshes:
        steps_all, compiled = {ours: [], jax: []}, {ours: [], jax: []}
        for _ in range(rounds):
            for peer in (ours, jax):
                found, took = peer(mesh, data)
                steps_all[peer] += found
                compiled[peer].append(took)
        row = "| %d | %s |" % (devices_of(mesh), mesh)
        for values in (steps_all, compiled):
            for k in (0, 1):
                mine, theirs = (statistics.median(v[k] for v in values[peer]) for peer in (ours, jax))
                row += " %.2f, %.2f | %.2f |" % (mine, theirs, theirs / mine)
        print(row, flush=True)
