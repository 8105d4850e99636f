#!/bin/sh
# test_order.sh: no folder of src/ includes one to its right in the order of DESIGN.md; src/ never includes dev/ or tests/.
set -u
. tests/tap.sh
status=0 # of no program: only files are looked at
rank() {
    case $1 in
    base) echo 0 ;; io) echo 1 ;; text) echo 2 ;; graph | ops) echo 3 ;; model) echo 4 ;; cpu | pjrt) echo 5 ;;
    infer) echo 6 ;; eval | bench | train) echo 7 ;; serve) echo 8 ;; cli) echo 9 ;;
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
# A file is spoken of by its name alone.
twice=$(for file in src/*/*.[ch]; do basename "$file"; done | sort | uniq -d | tr '\n' ' ')
check "no two files of src/ have one name: $twice" '[ -z "$twice" ]'
# Law 2: what is special about an op stands in its row, and nobody else asks for it by name.
rows=$(sed -n 's/^ *extern const OpRow [^;]*\*const op_table.*//; s/^ *const OpRow \([a-z_]*_row\) = {$/\1/p' src/ops/*.c)
for row in $rows; do
    found=$(grep -lw "$row" src/*/*.[ch] | grep -vE '^src/(ops|graph)/' | tr '\n' ' ')
    check "$row is named by its own folder only: $found" '[ -z "$found" ]'
done
# What a dimension letter means stands in the table of axes, and nobody else compares letters.
letters=$(grep -o "'.'" src/graph/axis.h | tr -d "'\n")
check "axes have letters: $letters" '[ ${#letters} -ge 9 ]'
for folder in graph ops cpu pjrt model; do
    found=$(grep -n "'[$letters]'" src/$folder/*.[ch] | grep -v '^src/graph/axis\.[ch]:' | tr '\n' ' ')
    check "src/$folder quotes no axis letter: $found" '[ -z "$found" ]'
done
# A family of models is a row, and no other file knows it. (qwen2 is also the name of a pre-tokenizer.)
families=$(sed -n 's/^ *\.name = "\([a-z0-9_]*\)".*/\1/p' src/model/family.c | tr '\n' '|')
found=$(grep -nE "\"(${families%|})\"" src/*/*.[ch] | grep -vE '^src/model/family.c:|^src/text/tokenizer_gguf.c:.*SPLIT_QWEN2' | tr '\n' ' ')
check "families are rows: $families and nobody else names one: $found" '[ "$families" != "|" ]' '[ -z "$found" ]'
# The door: these commands, and all of src/cli and src/eval that they include, know the model by qwenmesh.h alone. Beside
# it stand src/base and two formats of files; the loss of `forward` is summed as a training step's.
included() { # FILE: what it includes, by its place
    sed -n -e 's#^\#include "\.\./\(.*\)".*#src/\1#p' -e "s#^\#include \"\([a-z_0-9]*\.h\)\".*#${1%/*}/\1#p" "$1"
}
past_the_door() { # FILE...: "FILE:HEADER" of every header that they may not know
    todo="$*"
    while [ -n "$todo" ]; do
        # shellcheck disable=SC2086 # names are words
        set -- $todo
        todo=
        for file in "$@"; do
            case " $seen " in *" $file "*) continue ;; esac
            seen="$seen $file"
            for header in $(included "$file"); do
                case $file:$header in
                *:src/cli/* | *:src/eval/*)
                    todo="$todo $header"
                    [ -f "${header%h}c" ] && todo="$todo ${header%h}c" ;;
                *:src/base/* | *:src/qwenmesh.h | *:src/io/json.h | *:src/io/json_python.h | *:src/io/safetensors.h) ;;
                src/eval/head_loss.c:src/ops/lanes.h | src/eval/head_loss.c:src/ops/loss.h) ;;
                *) echo "$file:$header" ;;
                esac
            done
        done
    done
}
seen=
past_the_door src/cli/cmd_run.c src/cli/cmd_chat.c src/cli/cmd_generate.c src/cli/cmd_eval.c src/cli/cmd_forward.c \
    src/cli/cmd_embed.c src/cli/cmd_tokenize.c >"$work/past"
check "the door: $(tr '\n' ' ' <"$work/past")" '[ ! -s "$work/past" ]' \
    'case "$seen" in *src/cli/model_options.c*src/eval/loglik.c*) ;; *) false ;; esac'
seen=
past_the_door src/cli/cmd_plan.c >"$work/past"
check "a way past the door would be found" 'grep -q "src/cpu/spread.h" "$work/past"'
# Only the commands and bench print: the library tells a watch (base/watch.h).
printing=$(grep -nE '\b(fprintf\(stderr|perror\(|v?printf\(|puts\(|putchar\(|fputs\([^;]*, std(out|err)\))' src/*/*.[ch] |
    grep -vE '^src/(cli|bench)/' | grep -vE '^[^:]*:[0-9]+:.*__attribute__')
check "the library prints nothing: $printing" '[ -z "$printing" ]'
finish
