#!/bin/sh
# bench/train_peers.sh [-w FOLDER] [-c CONFIG.json] [-b BATCH] [-s SEQ] [-n STEPS] [-l LORA_RANK] [-r ROUNDS] [-p PYTHON]
#     [-a "f32 bf16"] [-d "1x1 dp2,tp4 dp4,tp8"]
# A training step beside torch with transformers (LoRA: and PEFT), AdamW, clip 1, random weights at a true shape: rounds in
# turn; tokens per second, best and median, their ratio (above 1: qwenmesh is faster), and peak memory. A row for each type
# of -a (default f32): bf16 is our --act bf16 beside torch's autocast, weights in f32 in both.
# PYTHON has torch, transformers and peft (default: FOLDER/train-venv, made from PyPI).
# -d: beside JAX's jitted step instead, both on XLA's CPU (ours: --plugin cpu), on each of these meshes of virtual devices;
# the shape is bench/train-small.json, 8 x 128, unless told; PYTHON has jax (default: FOLDER/venv).
set -eu
cd "$(dirname "$0")/.."
work=/tmp/peers config= batch= seq= steps= rank=0 rounds=2 python= meshes= types=f32
while getopts w:c:b:s:n:l:r:p:d:a: option; do
    case $option in
    w) work=$OPTARG ;; c) config=$OPTARG ;; b) batch=$OPTARG ;; s) seq=$OPTARG ;; n) steps=$OPTARG ;;
    l) rank=$OPTARG ;; r) rounds=$OPTARG ;; p) python=$OPTARG ;; d) meshes=$OPTARG ;; a) types=$OPTARG ;;
    *) sed -n '2,9s/^# //p' "$0" >&2; exit 2 ;;
    esac
done
python_with() { # VENV MODULES PACKAGE...: $python, made from PyPI where none was told
    venv=$work/$1 modules=$2
    shift 2
    [ -z "$python" ] || return 0
    python=$venv/bin/python
    "$python" -c "import $modules" 2>/dev/null || {
        echo "train_peers: installing $* into $venv" >&2
        mkdir -p "$work"
        python3 -m venv "$venv"
        "$venv/bin/pip" install -q "$@"
    }
}
make -s qwenmesh
if [ -n "$meshes" ]; then
    python_with venv jax jax==0.10.2
    exec python3 bench/train_peers_jax.py "$python" "${config:-bench/train-small.json}" "${batch:-8}" "${seq:-128}" \
        "${steps:-5}" "$rounds" $meshes
fi
python_with train-venv torch,transformers,peft torch transformers peft
python3 bench/train_peers.py "$python" "${config:-bench/smollm2-135m.json}" "${batch:-4}" "${seq:-512}" "${steps:-2}" "$rank" \
    "$rounds" "$(nproc)" $types
