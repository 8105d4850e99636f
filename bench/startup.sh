#!/bin/sh
# bench/startup.sh [MODEL [TURNS]]: seconds from start to the first token and exit, and peak resident memory, per mesh in turn.
# Prints the best and the median of all turns. The page cache is warm after the first turn.
set -eu
cd "$(dirname "$0")/.."
model=${1:-models/SmolLM2-135M-Instruct.Q4_1.gguf} turns=${2:-7} meshes="1x1 2x4 8x4 1x32"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for _ in $(seq "$turns"); do
    for mesh in $meshes; do
        start=$(date +%s%N)
        ./qwenmesh run -m "$model" --mesh "$mesh" -n 1 --temp 0 -p "The capital of France is" --stats 2>"$work/err" >/dev/null ||
            { cat "$work/err" >&2; exit 1; }
        echo $((($(date +%s%N) - start) / 1000000)) "$(sed -n 's/^peak memory: \([0-9]*\).*/\1/p' "$work/err")" >>"$work/$mesh"
    done
done
printf '%-6s %10s %10s %18s\n' mesh 'best, s' 'median, s' 'peak memory, MiB'
for mesh in $meshes; do
    sort -n "$work/$mesh" | awk -v mesh="$mesh" '{ t[NR] = $1; if ($2 > m) m = $2 }
        END { printf "%-6s %10.3f %10.3f %18d\n", mesh, t[1] / 1000, t[int((NR + 1) / 2)] / 1000, m }'
done
