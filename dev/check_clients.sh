#!/bin/sh
# check_clients.sh: real clients against a server of this program: `make check-clients`. Makes a venv in build/clients with
# packages from PyPI (network), starts qwenmesh serve on loopback with SmolLM2, and runs dev/clients/*.py against it. A
# client that cannot be installed is left out, with a word. Exit status: 0 when all that ran passed.
#
#   dev/check_clients.sh [NAME...]     only these: openai, responses, anthropic, ollama, litellm, langchain, lm_eval,
#                                      schemathesis
set -u
cd "$(dirname "$0")/.."
QWENMESH=${QWENMESH:-./qwenmesh}
MODEL=${MODEL:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
venv=build/clients
[ -f "$MODEL" ] || { echo "check_clients: no $MODEL: dev/model.sh brings it"; exit 1; }
[ -x $venv/bin/python ] || python3 -m venv $venv || exit 1
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT

need() { # PYTHON-MODULE PACKAGE...
    module=$1
    shift
    $venv/bin/python -c "import $module" 2>/dev/null && return
    $venv/bin/pip install -q --disable-pip-version-check "$@" >"$work/pip" 2>&1 && return
    echo "check_clients: cannot install $*: $(tail -n 1 "$work/pip")"
    return 1
}

# start OPTIONS...: a server at a free port; $url is its address.
start() {
    "$QWENMESH" serve -m "$MODEL" --port 0 --served-model-name smol --threads 2 "$@" 2>"$work/log" &
    server=$!
    for i in $(seq 1 600); do
        url=$(sed -n 's/.*listening at \(http[^ ]*\).*/\1/p' "$work/log")
        grep -q ' ready: ' "$work/log" && return
        kill -0 "$server" 2>/dev/null || { cat "$work/log"; exit 1; }
        sleep 0.1
    done
    echo "check_clients: the server did not start"
    exit 1
}

failed=0
client() { # NAME SCRIPT ARGUMENTS...
    name=$1
    shift
    if env QWENMESH="$QWENMESH" MODEL="$MODEL" URL="$url" WORK="$work" HF_HUB_OFFLINE=1 LITELLM_LOCAL_MODEL_COST_MAP=True \
        $venv/bin/python -W ignore "$@" >"$work/out" 2>&1; then
        echo "ok - $name: $(tail -n 1 "$work/out")"
    else
        echo "not ok - $name"
        tail -n 40 "$work/out" | sed 's/^/# /'
        failed=1
    fi
}

[ $# -gt 0 ] || set -- openai responses anthropic ollama litellm langchain lm_eval schemathesis
start --embeddings --parallel 4 --queue 64
for name in "$@"; do
    case $name in
    openai) need openai openai pydantic && client openai dev/clients/openai_client.py ;;
    responses) need openai openai pydantic && client responses dev/clients/responses_client.py ;;
    anthropic) need anthropic anthropic && client anthropic dev/clients/anthropic_client.py ;;
    ollama) need ollama ollama && client ollama dev/clients/ollama_client.py ;;
    litellm) need litellm litellm && client litellm dev/clients/litellm_client.py ;;
    langchain) need langchain_openai langchain-openai && client langchain dev/clients/langchain_client.py ;;
    lm_eval) need lm_eval "lm_eval[api]" && client lm_eval dev/clients/lm_eval_client.py ;;
    schemathesis) need schemathesis schemathesis && client schemathesis dev/clients/schemathesis_client.py ;;
    *) echo "check_clients: unknown client $name" && failed=1 ;;
    esac
done
exit $failed
