#!/bin/bash
# dev/gpu.sh pack: copies this build and the shared libraries that it needs into build/gpu (a few MiB), for a machine that
#     has neither compiler nor network; the checkout goes along (tests/golden is what it computes with).
# dev/gpu.sh run [PLUGIN] [SECONDS]: there: golden logits, greedy ids, ten training steps, and speeds beside a jitted JAX, on
#     one device of a PJRT plugin: cuda (default, found in that machine's Python), or cpu, which tries this script without a
#     GPU. What takes longer than SECONDS (540) in all is left out, and said so. PYTHON: that which has JAX. Exit code 1:
#     something differs.
set -u
cd "$(dirname "$0")/.."
carried=build/gpu

pack() {
    make -s -j"$(nproc)" || exit 1
    rm -rf $carried && mkdir -p $carried/lib
    cp qwenmesh $carried/ && strip $carried/qwenmesh
    # The C library is the other machine's: its own parts only fit each other.
    ldd qwenmesh | awk '$3 ~ /^\// {print $3}' | grep -vE '/lib(c|m|dl|pthread|rt|resolv)\.so|ld-linux' | xargs -I{} cp -L {} $carried/lib/
    du -shc $carried | tail -1
}

python=${PYTHON:-python3}
# A plugin that this machine's Python can import, wherever that is.
plugin_of_python() {
    "$python" -c 'import importlib.util, os
for name in ("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12"):
    try: spec = importlib.util.find_spec(name)
    except ImportError: spec = None
    file = spec and os.path.join(os.path.dirname(spec.origin), "xla_cuda_plugin.so")
    if file and os.path.exists(file): print(file); break'
}

failed=0
say() { printf '\n== %s (%d s so far)\n' "$*" $SECONDS; }
left() { [ $SECONDS -lt "$limit" ] || { say "$1: left out, no time"; return 1; }; }
ours() { timeout $((limit - SECONDS + 5)) env LD_LIBRARY_PATH="$PWD/$carried/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$program" "$@"; }
verdict() { if [ "$1" = 0 ]; then echo "ok: $2"; else echo "FAILED: $2"; failed=1; fi; }

# Logits of two safetensors files, of tokens that are no padding, which the first's attention_mask says: the largest
# difference, by the largest value.
compare() {
    "$python" - "$@" <<'P'
import json, struct, sys
def tensor(path, name):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        h = json.loads(f.read(n))[name]
        f.seek(8 + n + h["data_offsets"][0])
        raw = f.read(h["data_offsets"][1] - h["data_offsets"][0])
    return struct.unpack("<%d%s" % (len(raw) // 4, "i" if name == "attention_mask" else "f"), raw)
a, b = tensor(sys.argv[1], "logits"), tensor(sys.argv[2], "logits")
mask = tensor(sys.argv[1], "attention_mask")
v = len(a) // len(mask)
a, b = ([x for i, m in enumerate(mask) if m for x in t[i * v:(i + 1) * v]] for t in (a, b))
most, off = max(map(abs, a)), max(abs(x - y) for x, y in zip(a, b))
print("%d values, off by %.2g of the largest" % (len(a), off / most))
sys.exit(len(a) != len(b) or not off <= float(sys.argv[3]) * most)
P
}

logits() {
    for model in tiny heads14-2 heads28-4 qwen3-6-3 llama-9-3; do
        left "logits of $model" || return
        ours forward -m tests/golden/$model --in tests/golden/$model/golden.safetensors --out "$work/l.safetensors" --backend pjrt \
            --plugin "$plugin" --weights f32 >"$work/log" 2>&1 || { tail -3 "$work/log"; verdict 1 "logits of $model"; continue; }
        compare tests/golden/$model/golden.safetensors "$work/l.safetensors" 1e-4 # GPUs multiply f32 in TF32 where XLA lets them
        verdict $? "golden logits of $model"
    done
}

greedy() {
    left "greedy ids" || return
    echo '{"ids": [5, 9, 40, 3, 77, 21], "max_new_tokens": 48, "eos_token_id": null}' >"$work/r.jsonl"
    for backend in "cpu" "pjrt --plugin $plugin --weights f32"; do
        # shellcheck disable=SC2086 # words
        ours generate -m tests/golden/heads28-4 --in "$work/r.jsonl" --out "$work/${backend%% *}.jsonl" --backend $backend --act f32 \
            >"$work/log" 2>&1 || tail -3 "$work/log"
    done
    cmp "$work/cpu.jsonl" "$work/pjrt.jsonl"
    verdict $? "48 greedy ids, as the CPU engine's"
}

training() {
    left "training" || return
    "$python" -c 'for i in range(8): print({"ids": [(7 * i + 5 * j * j) % 120 for j in range(16)]})' | tr "'" '"' >"$work/d.jsonl"
    for backend in "cpu" "pjrt --plugin $plugin"; do
        # shellcheck disable=SC2086 # words
        ours train -m tests/golden/train --data "$work/d.jsonl" -o "$work/${backend%% *}" --max-steps 10 -b 4 --seq-len 16 \
            --learning-rate 1e-3 --logging-steps 1 --log "$work/${backend%% *}.log" --backend $backend >"$work/log" 2>&1 || tail -3 "$work/log"
    done
    "$python" - "$work/cpu.log" "$work/pjrt.log" <<'P'
import json, sys
a, b = ([json.loads(l) for l in open(f) if '"loss"' in l] for f in sys.argv[1:])
worst = max(abs(x["loss"] / y["loss"] - 1) for x, y in zip(a, b))
print("%d steps, losses %.6f to %.6f, off by %.2g at most" % (len(b), b[0]["loss"], b[-1]["loss"], worst))
sys.exit(len(a) != len(b) or len(b) < 10 or not worst <= 1e-4)
P
    verdict $? "ten training steps, as the CPU engine's"
}

speeds() {
    config=tests/golden/configs/0.5b.json jax=cuda seq=512
    [ "$plugin" = cuda ] || config=bench/smollm2-135m.json jax=cpu seq=64 # a CPU is slow
    left "speeds" || return
    ours bench --random $config --random-type f32 --backend pjrt --plugin "$plugin" -c 1024 --rows 512 -p 512 -n 32 -b 1,8 -r 2
    left "speeds of JAX" || return
    JAX_PLATFORMS=$jax timeout $((limit - SECONDS + 5)) "$python" bench/peer_jax.py $config 1 512 32 "$(date +%s.%N)" || echo "JAX: not measured"
    left "training's speed" || return
    "$python" -c 'for i in range(64): print({"ids": [(7 * i + 5 * j * j) % 30000 for j in range('$seq')]})' | tr "'" '"' >"$work/s.jsonl"
    ours train --init $config --tokenizer tests/data/bytes --data "$work/s.jsonl" -o "$work/s" --max-steps 10 -b 4 --seq-len $seq --logging-steps 1 \
        --backend pjrt --plugin "$plugin" -v 2>&1 | tail -15
    left "training's speed of JAX" || return
    JAX_PLATFORMS=$jax timeout $((limit - SECONDS + 5)) "$python" bench/peer_train_jax.py $config 4 $seq 10 1 || echo "JAX: not measured"
}

case ${1:-} in
pack) pack ;;
run)
    plugin=${2:-cuda} limit=${3:-540}
    program=./qwenmesh
    [ -x $carried/qwenmesh ] && program=$carried/qwenmesh && ln -sfn "$PWD/plugins" $carried/plugins
    [ "$plugin" != cuda ] || export QWENMESH_PLUGIN_CUDA="${QWENMESH_PLUGIN_CUDA:-$(plugin_of_python)}"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    SECONDS=0
    say "the plugin" && ours env --plugin "$plugin"
    say "golden logits" && logits
    say "greedy ids" && greedy
    say "training" && training
    say "speeds" && speeds
    exit $failed
    ;;
*) sed -n '2,9s/^# //p' "$0" >&2 && exit 2 ;;
esac
