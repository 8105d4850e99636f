module @qwenmesh attributes {mhlo.num_partitions = 2 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=2]>
func.func public @main(%g_n4: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_n8: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w1s: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w6s: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>}) -> (tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>}) {
%R:1 = sdy.manual_computation(%g_n4, %g_n8, %g_w1s, %g_w6s)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}, {}]>]
  out_shardings=[<@mesh, [{}, {"x", "y"}]>]
  manual_axes={"x", "y"} (%n4: tensor<8x64xf32>, %n8: tensor<8x64xf32>, %w1s_in: tensor<32x64xf32>, %w6s_in: tensor<32x64xf32>) {
%w1s = func.call @tt.mark_2(%w1s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%w6s = func.call @tt.mark_2(%w6s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%n5 = stablehlo.dot_general %n4, %w1s, contracting_dims = [1] x [1] : (tensor<8x64xf32>, tensor<32x64xf32>) -> tensor<8x32xf32>
%n9 = stablehlo.dot_general %n8, %w6s, contracting_dims = [1] x [1] : (tensor<8x64xf32>, tensor<32x64xf32>) -> tensor<8x32xf32>
%n10_l = stablehlo.logistic %n9 : tensor<8x32xf32>
%n10_g = stablehlo.multiply %n9, %n10_l : tensor<8x32xf32>
%n10 = stablehlo.multiply %n10_g, %n5 : tensor<8x32xf32>
sdy.return %n10 : tensor<8x32xf32>
} : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>) -> (tensor<8x64xf32>)
return %R#0 : tensor<8x64xf32>
}
func.func private @tt.mark_2(%w: tensor<32x64xf32>) -> tensor<32x64xf32> {
  return %w : tensor<32x64xf32>
}
}
