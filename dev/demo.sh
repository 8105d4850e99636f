#!/bin/sh
# dev/demo.sh: one question, answered on one device and on meshes that divide neither its 9 query nor its 3 key/value
# heads. Fails unless every run computes the same logits, bit for bit.
set -eu
cd "$(dirname "$0")/.."
program=${QWENMESH:-./qwenmesh}
model=models/SmolLM2-135M-Instruct.Q4_1.gguf
question='Why is the sky blue? Answer in one short paragraph.'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "SmolLM2-135M-Instruct, 9 query and 3 key/value heads, on $(nproc) cores: $question"
echo '(five answers of 48 tokens, each on another mesh of devices: half a minute on two quiet cores)'
for mesh in 1x1 2x4 1x8 8x4 1x32; do
    printf '\n-- mesh %s --\n' "$mesh"
    if ! "$program" run -m "$model" --mesh "$mesh" -n 48 --temp 0 --chat -p "$question" --stats 2>"$work/$mesh"; then
        cat "$work/$mesh" >&2
        exit 1
    fi
    prefill=$(sed -n 's/^prefill: .*, \(.*\)/\1/p' "$work/$mesh")
    decode=$(sed -n 's/^decode: .*, \(.*\)/\1/p' "$work/$mesh")
    printf '\n   prefill %s, decode %s\n' "$prefill" "$decode"
    echo "$mesh $(sed -n 's/^logits sha256: *//p' "$work/$mesh")" >>"$work/hashes"
done

sha=$(head -n 1 "$work/hashes" | cut -d ' ' -f 2)
if [ -z "$sha" ] || [ "$(cut -d ' ' -f 2 "$work/hashes" | sort -u | wc -l)" != 1 ]; then
    printf '\ndemo: error: the meshes do not agree. SHA-256 of the logits:\n' >&2
    cat "$work/hashes" >&2
    exit 1
fi
printf '\nsame bits on all meshes: %s\n' "$sha"
