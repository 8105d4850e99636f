#!/usr/bin/env python3
"""serve_table.py: JSON lines of serve_load.py as a table: qwenmesh beside llama-server, medians over rounds, each with what
is asked: tokens a second at least 1.7 times at one stream and 3 times from four on, the 99th percentile of the first token
at most half, that of the gap between tokens below. Status 1: an answer of qwenmesh's changed with the load."""
import json, statistics, sys

lines = [json.loads(line) for line in sys.stdin]


def of(server, key, name):
    values = [l[name] for l in lines if l["server"] == server and (l["streams"], l["prefix"]) == key and l[name] is not None]
    return statistics.median(values) if values else None


def cell(key, name, share, more):
    ours, theirs = of("qwenmesh", key, name), of("llama-server", key, name)
    if not ours or not theirs:
        return f"{ours}"
    ratio = ours / theirs
    return f"{ours:.0f}, {theirs:.0f}: {ratio:.2f}" + ("" if (ratio >= share if more else ratio <= share) else " (!)")


print("| streams | shared words | tokens/s | first token p99, ms | gap p99, ms |\n|---|---|---|---|---|")
for key in sorted({(l["streams"], l["prefix"]) for l in lines}):
    print(f"| {key[0]} | {key[1]} | {cell(key, 'tokens_s', 1.7 if key[0] == 1 else 3, True)} | "
          f"{cell(key, 'ttft_p99', 0.5, False)} | {cell(key, 'gap_p99', 1, False)} |")
for server in sorted({l["server"] for l in lines}):
    mine = [l for l in lines if l["server"] == server]
    print(f"{server}: {sum(l['errors'] for l in mine)} errors, {sum(l['changed'] or 0 for l in mine)} answers that changed with the load")
sys.exit(any(l["changed"] for l in lines if l["server"] == "qwenmesh"))
