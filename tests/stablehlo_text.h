/* stablehlo_text.h: small programs for the tests of PJRT plugins. */
#ifndef STABLEHLO_TEXT_H
#define STABLEHLO_TEXT_H
#include "../src/base/base.h"

/* x[4, 2n] times w[2n, 6], both split by k over n devices, summed by an all_reduce: all devices have the [4, 6]. */
__attribute__((unused)) static void row_parallel(Text *t, int n) {
    const int k = 2 * n;
    text_line(t, "module @m attributes {mhlo.num_partitions = %d : i32, mhlo.num_replicas = 1 : i32} {\n"
              "  sdy.mesh @mesh = <[\"x\"=1, \"y\"=%d]>\n", n, n);
    text_line(t, "  func.func public @main(%%x: tensor<4x%dxf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {\"y\"}]>}, "
              "%%w: tensor<%dx6xf32> {sdy.sharding = #sdy.sharding<@mesh, [{\"y\"}, {}]>}) -> "
              "(tensor<4x6xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) {\n", k, k);
    text_line(t, "    %%0 = sdy.manual_computation(%%x, %%w) in_shardings=[<@mesh, [{}, {\"y\"}], replicated={\"x\"}>, "
              "<@mesh, [{\"y\"}, {}], replicated={\"x\"}>] "
              "out_shardings=[<@mesh, [{}, {}], replicated={\"x\", \"y\"}>] "
              "manual_axes={\"x\", \"y\"} (%%a: tensor<4x2xf32>, %%b: tensor<2x6xf32>) {\n"
              "      %%p = stablehlo.dot_general %%a, %%b, contracting_dims = [1] x [0] : "
              "(tensor<4x2xf32>, tensor<2x6xf32>) -> tensor<4x6xf32>\n"
              "      %%s = \"stablehlo.all_reduce\"(%%p) ({\n"
              "      ^bb0(%%l: tensor<f32>, %%r: tensor<f32>):\n"
              "        %%t = stablehlo.add %%l, %%r : tensor<f32>\n"
              "        stablehlo.return %%t : tensor<f32>\n"
              "      }) {replica_groups = dense<[[");
    for (int i = 0; i < n; i++) text_line(t, "%s%d", i ? ", " : "", i);
    text_line(t, "]]> : tensor<1x%dxi64>, channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, "
              "use_global_device_ids} : (tensor<4x6xf32>) -> tensor<4x6xf32>\n"
              "      sdy.return %%s : tensor<4x6xf32>\n"
              "    } : (tensor<4x%dxf32>, tensor<%dx6xf32>) -> tensor<4x6xf32>\n"
              "    return %%0 : tensor<4x6xf32>\n  }\n}\n", n, k, k);
}

/* One device: x + 1 in place of x, which is consumed; and x * 2. */
#define DONATING                                                                                                      \
    "func.func public @main(%x: tensor<5xf32> {tf.aliasing_output = 0 : i32}) -> (tensor<5xf32>, tensor<5xf32>) {\n"  \
    "  %c = stablehlo.constant dense<1.0> : tensor<5xf32>\n"                                                          \
    "  %y = stablehlo.add %x, %c : tensor<5xf32>\n"                                                                   \
    "  %z = stablehlo.add %x, %x : tensor<5xf32>\n"                                                                   \
    "  return %y, %z : tensor<5xf32>, tensor<5xf32>\n}\n"
#endif
