module @qwenmesh attributes {mhlo.num_partitions = 4 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=2, "y"=2]>
func.func public @main(%g_n5: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_n9: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w2s: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w7s: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w1s: tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>}) -> (tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) {
%R:1 = sdy.manual_computation(%g_n5, %g_n9, %g_w2s, %g_w7s, %g_w1s)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{}, {"x", "y"}]>]
  out_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%n5: tensor<8x64xf32>, %n9: tensor<8x64xf32>, %w2s_in: tensor<32x64xf32>, %w7s_in: tensor<32x64xf32>, %w1s_in: tensor<64x32xf32>) {
%w2s = func.call @tt.mark_2(%w2s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%w7s = func.call @tt.mark_2(%w7s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%w1s = func.call @tt.mark_4(%w1s_in) {ttcore.argument_type = "parameter"} : (tensor<64x32xf32>) -> tensor<64x32xf32>
%n6 = stablehlo.dot_general %n5, %w2s, contracting_dims = [1] x [1] : (tensor<8x64xf32>, tensor<32x64xf32>) -> tensor<8x32xf32>
%n10 = stablehlo.dot_general %n9, %w7s, contracting_dims = [1] x [1] : (tensor<8x64xf32>, tensor<32x64xf32>) -> tensor<8x32xf32>
%n11_l = stablehlo.logistic %n10 : tensor<8x32xf32>
%n11_g = stablehlo.multiply %n10, %n11_l : tensor<8x32xf32>
%n11 = stablehlo.multiply %n11_g, %n6 : tensor<8x32xf32>
%n12 = stablehlo.dot_general %n11, %w1s, contracting_dims = [1] x [1] : (tensor<8x32xf32>, tensor<64x32xf32>) -> tensor<8x64xf32>
%n13_y = "stablehlo.all_reduce"(%n12) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1], [2, 3]]> : tensor<2x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, use_global_device_ids} : (tensor<8x64xf32>) -> tensor<8x64xf32>
%n13 = "stablehlo.all_reduce"(%n13_y) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 2], [1, 3]]> : tensor<2x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 2, type = 1>, use_global_device_ids} : (tensor<8x64xf32>) -> tensor<8x64xf32>
sdy.return %n13 : tensor<8x64xf32>
} : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) -> (tensor<8x64xf32>)
return %R#0 : tensor<8x64xf32>
}
func.func private @tt.mark_2(%w: tensor<32x64xf32>) -> tensor<32x64xf32> {
  return %w : tensor<32x64xf32>
}
func.func private @tt.mark_4(%w: tensor<64x32xf32>) -> tensor<64x32xf32> {
  return %w : tensor<64x32xf32>
}
}
