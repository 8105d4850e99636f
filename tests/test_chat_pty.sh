#!/bin/sh
# test_chat_pty.sh: `chat` at a terminal: line editing, several lines, Ctrl-C, history, commands.
set -u
. tests/tap.sh
if python3 -c 'import pty' 2>/dev/null; then
    echo leak:wcsdup >"$work/leaks" # libedit does not free the strings of its key bindings
    LSAN_OPTIONS=suppressions=$work/leaks ASAN_OPTIONS=verify_asan_link_order=0 PYTHONPATH=tests PYTHONDONTWRITEBYTECODE=1 python3 tests/chat_pty.py "$QWENMESH" "$work"
else
    skip "chat at a terminal" "no python3"
    finish
fi
