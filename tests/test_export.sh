#!/bin/sh
# test_export.sh: export writes every bucket of a mesh as text, from config.json alone, and says what each argument is.
set -u
. tests/tap.sh
config=tests/golden/configs/7b.json
text() { grep -c "$1" "$work/dir/$2"; }

run export $config --mesh 2x4 --slots 32 --rows 128 -o "$work/dir"
check "a program for each bucket, and the manifest" 'is 0' '[ -s "$work/dir/manifest.json" ]' '[ "$(ls "$work/dir"/*.mlir | wc -l)" = 5 ]' \
    '[ -z "$(for f in "$work/dir"/*.mlir; do out "$f: " || echo "$f"; done)" ]'
check "two reductions a layer, one collective for each mesh axis" '[ "$(text "\"stablehlo.all_reduce\"" decode_32x1.mlir)" = $((28 * 2 * 2)) ]' \
    '[ "$(text "\"stablehlo.all_gather\"" decode_32x1.mlir)" = 2 ]'
check "attention and norms are composites, caches are scattered into and given back" \
    '[ "$(text "tenstorrent.scaled_dot_product_attention" decode_32x1.mlir)" = 28 ]' '[ "$(text "tenstorrent.rms_norm" decode_32x1.mlir)" = 57 ]' \
    '[ "$(text "\"stablehlo.scatter\"" decode_32x1.mlir)" = 56 ]' '[ "$(grep -o "tf.aliasing_output" "$work/dir/decode_32x1.mlir" | wc -l)" = 56 ]'
check "nothing that sends Tenstorrent's program to the host" '! grep -qE "dynamic_update_slice|stablehlo.while|partition_id" "$work/dir"/*.mlir'
check "every weight is marked as a parameter, through a function of its type" \
    '[ "$(text "func.call @tt.mark_" decode_32x1.mlir)" = 338 ]' '[ "$(text "ttcore.argument_type = \"parameter\"" decode_32x1.mlir)" = 338 ]' \
    '[ "$(text "func.func private @tt.mark_" decode_32x1.mlir)" = 9 ]'
check "the manifest names weights and roles" \
    'grep -q "model.layers.27.mlp.down_proj.weight" "$work/dir/manifest.json"' 'grep -q "\"role\": \"cache\"" "$work/dir/manifest.json"'
run export $config -o "$work/one" --weights f32
check "on one device nothing is collective" 'is 0' '! grep -qE "all_reduce|all_gather" "$work/one"/*.mlir'
run export $config --mesh 2x4
check "no folder" 'is 2' 'err "-o DIR"'
run export $config --weights int3 -o "$work/x"
check "a wrong type" 'is 2' 'err "expected bf16 or f32, got '"'int3'"'"'
run export $config --mesh 2x -o "$work/x"
check "a wrong mesh" 'is 2' 'err "bad mesh"'
run export "$work/none.json" -o "$work/x"
check "a missing model" 'is 1' 'err "none.json"'
head -c 100 $config >"$work/cut.json"
run export "$work/cut.json" -o "$work/x"
check "a config cut short" 'is 1' 'err "cut.json"'
run export $config -o /proc/x
check "a folder that cannot be made" 'is 1' 'err "cannot make /proc/x"'
finish
