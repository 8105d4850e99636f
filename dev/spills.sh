#!/bin/sh
# spills.sh: hot loops of object files that keep wide registers on the stack: loops without a loop inside that have at
# least MIN products. Prints them and fails if there are any:
#     sh dev/spills.sh zmm|ymm MIN OBJECT...
# A loop is a jump back; a product is an instruction of the kinds fma, dpbusd, dpbf16 and madd. At most ALLOWED (default
# 8) of its instructions may touch the stack: the compiler keeps a constant or two there where registers are full. ONLY
# is a pattern of function names. AVX2 has too few registers for dot of more than 4 bits, few and attention, AVX-512 for
# few of 5 bits and more, and without VNNI for dot of 5 and 6; what must pass is
#     ONLY="few_(f|b|q4)|tile|attention|sum_parts|outer" sh dev/spills.sh zmm 32 build/src/cpu/kernels_avx512.o
#     ALLOWED=24 ONLY="dot_q[48]" sh dev/spills.sh zmm 32 build/src/cpu/kernels_avx512.o
#     ALLOWED=25 ONLY=dot_q4 sh dev/spills.sh ymm 32 build/src/cpu/kernels_avx2.o
#     ALLOWED=18 sh dev/spills.sh zmm 32 build/src/cpu/kernels_avx512vnni.o
#     sh dev/spills.sh zmm 20 build/src/cpu/kernels_avx512bf16.o
#     ONLY=pair sh dev/spills.sh zmm 20 build/src/cpu/kernels_avx512.o
#     ONLY=pair sh dev/spills.sh ymm 8 build/src/cpu/kernels_avx2.o
width=$1 min=$2 allowed=${ALLOWED:-8}
[ $# -ge 3 ] || { echo "usage: spills.sh zmm|ymm MIN OBJECT..." >&2; exit 2; }
shift 2
for object in "$@"; do
    objdump -d --no-show-raw-insn "$object" |
        awk -v width="$width" -v min="$min" -v allowed="$allowed" -v only="${ONLY:-.}" '
        function target(text,   part) { # where a jump goes, or "" for other instructions
            if (text !~ /\tj[a-z]+ +[0-9a-f]+ /) return ""
            sub(/.*\tj[a-z]+ +/, "", text)
            split(text, part, " ")
            return part[1]
        }
        function check(   i, j, t, products, stack, inner) {
            for (i = 1; i <= n; i++) {
                t = target(line[i])
                if (t == "" || !(t in at) || at[t] >= i) continue
                products = stack = 0
                inner = 1
                for (j = at[t]; j <= i; j++) {
                    if (j < i && (target(line[j]) in at) && at[target(line[j])] <= j &&
                        at[target(line[j])] >= at[t]) inner = 0
                    if (line[j] ~ /fmadd|dpbusd|maddubs|dpbf16/) products++
                    if (index(line[j], width) && line[j] ~ /\(%r[sb]p/) stack++
                }
                if (!inner || products < min || name !~ only) continue
                loops++
                if (stack > allowed) {
                    print name, i - at[t] + 1, "instructions,", products, "products,", stack, "on the stack"
                    spilled++
                }
            }
            delete at
            n = 0
        }
        /^[0-9a-f]+ </ { check(); name = $2; next }
        /^ +[0-9a-f]+:/ { line[++n] = $0; a = $1; sub(":", "", a); at[a] = n }
        END {
            check()
            if (!loops) print "no loop of", min, "products: is this the object, and " width " the width?"
            exit spilled || !loops
        }' || failed=1
done
exit ${failed:-0}
