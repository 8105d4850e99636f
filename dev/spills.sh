#!/bin/sh
# spills.sh: wide registers that go through the stack, per function of an object file. None should stand in a hot loop:
#     sh dev/spills.sh build/src/cpu/kernels_avx512.o zmm
objdump -d --no-show-raw-insn "$1" | awk -v width="$2" '
    /^[0-9a-f]+ </ { name = $2 }
    index($0, width) { uses[name]++; if (/\(%rsp/) spills[name]++ }
    END { for (name in uses) print spills[name] + 0, uses[name], name }' | sort -rn | sed '1i spills uses function'
