#!/bin/sh
# dev/check_page.sh [NAME...]: the chat page of the real server in a real browser (dev/page_test.py); NAME: those tests
# alone. Wants Debian's chromium and Python; playwright comes from PyPI into build/page-venv, without a browser of its
# own. SHOTS: the folder for screenshots (docs: to renew what is there). MODEL: another model.
set -eu
cd "$(dirname "$0")/.."
skip() { echo "check-page: skipped: $1"; exit 0; }
browser=$(command -v chromium || command -v chromium-browser || true)
[ -n "$browser" ] || skip "no chromium: apt-get install --no-install-recommends chromium fonts-dejavu-core fonts-inter"
command -v python3 >/dev/null || skip "no python3"
venv=${PAGE_VENV:-build/page-venv}
if ! "$venv/bin/python" -c 'import playwright' 2>/dev/null; then
    python3 -m venv "$venv" && "$venv/bin/pip" -q install playwright || skip "playwright could not be installed from PyPI"
fi
model=${MODEL:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
[ -e "$model" ] || dev/model.sh
exec "$venv/bin/python" dev/page_test.py --program "${QWENMESH:-./qwenmesh}" --model "$model" --browser "$browser" \
    ${SHOTS:+--shots "$SHOTS"} "$@"
