#!/bin/sh
# bench/train_peers.sh [-w FOLDER] [-c CONFIG.json] [-b BATCH] [-s SEQ] [-n STEPS] [-l LORA_RANK] [-r ROUNDS] [-p PYTHON]
# A training step beside torch with transformers (LoRA: and PEFT), f32, AdamW, clip 1, random weights at a true shape: rounds
# in turn; tokens per second, best and median, their ratio (above 1: qwenmesh is faster), and peak memory.
# PYTHON has torch, transformers and peft (default: FOLDER/train-venv, made from PyPI).
set -eu
cd "$(dirname "$0")/.."
work=/tmp/peers config=bench/smollm2-135m.json batch=4 seq=512 steps=2 rank=0 rounds=2 python=
while getopts w:c:b:s:n:l:r:p: option; do
    case $option in
    w) work=$OPTARG ;; c) config=$OPTARG ;; b) batch=$OPTARG ;; s) seq=$OPTARG ;; n) steps=$OPTARG ;;
    l) rank=$OPTARG ;; r) rounds=$OPTARG ;; p) python=$OPTARG ;;
    *) sed -n '2,5s/^# //p' "$0" >&2; exit 2 ;;
    esac
done
if [ -z "$python" ]; then
    python=$work/train-venv/bin/python
    "$python" -c 'import torch, transformers, peft' 2>/dev/null || {
        echo "train_peers: installing torch, transformers and peft into $work/train-venv" >&2
        mkdir -p "$work"
        python3 -m venv "$work/train-venv"
        "$work/train-venv/bin/pip" install -q torch transformers peft
    }
fi
make -s qwenmesh
python3 bench/train_peers.py "$python" "$config" "$batch" "$seq" "$steps" "$rank" "$rounds" "$(nproc)"
