#!/bin/sh
# test_order.sh: no folder of src/ includes one to its right in the order of DESIGN.md; src/ never includes dev/ or tests/.
set -u
. tests/tap.sh
status=0 # of no program: only files are looked at
rank() {
    case $1 in
    base) echo 0 ;; io) echo 1 ;; text) echo 2 ;; graph | ops) echo 3 ;; model) echo 4 ;; cpu) echo 5 ;; infer) echo 6 ;; eval) echo 7 ;; cli) echo 8 ;;
    *) echo 99 ;;
    esac
}
for folder in src/*/; do
    from=$(basename "$folder")
    check "src/$from has a place in the order" '[ "$(rank "$from")" != 99 ]'
    wrong=
    for to in $(sed -n 's/^#include "\.\.\/\([^"/]*\)\/[^"]*".*/\1/p' "$folder"*.[ch] | sort -u); do
        [ "$(rank "$to")" -le "$(rank "$from")" ] || wrong="$wrong $to"
    done
    check "src/$from includes only what is to its left:$wrong" '[ -z "$wrong" ]'
    check "src/$from stays in src" '! grep -lE "#include \"\.\./\.\./" "$folder"*.[ch]'
done
finish
