module @qwenmesh attributes {mhlo.num_partitions = 2 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=2]>
func.func public @main(%g_n2: tensor<8x16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_n6: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w3s: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>}) -> (tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>}) {
%R:1 = sdy.manual_computation(%g_n2, %g_n6, %g_w3s)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>]
  out_shardings=[<@mesh, [{}, {"x", "y"}]>]
  manual_axes={"x", "y"} (%n2: tensor<8x16xf32>, %n6: tensor<8x64xf32>, %w3s_in: tensor<32x64xf32>) {
%w3s = func.call @tt.mark_2(%w3s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%n7 = stablehlo.dot_general %n6, %w3s, contracting_dims = [1] x [1] : (tensor<8x64xf32>, tensor<32x64xf32>) -> tensor<8x32xf32>
%n2_cos2_s = stablehlo.slice %n2 [0:8, 0:8] : (tensor<8x16xf32>) -> tensor<8x8xf32>
%n2_cos2 = stablehlo.broadcast_in_dim %n2_cos2_s, dims = [0, 2] : (tensor<8x8xf32>) -> tensor<8x2x8xf32>
%n2_sin2_s = stablehlo.slice %n2 [0:8, 8:16] : (tensor<8x16xf32>) -> tensor<8x8xf32>
%n2_sin2 = stablehlo.broadcast_in_dim %n2_sin2_s, dims = [0, 2] : (tensor<8x8xf32>) -> tensor<8x2x8xf32>
%n8_x = stablehlo.reshape %n7 : (tensor<8x32xf32>) -> tensor<8x2x16xf32>
%n8_l = stablehlo.slice %n8_x [0:8, 0:2, 0:8] : (tensor<8x2x16xf32>) -> tensor<8x2x8xf32>
%n8_r = stablehlo.slice %n8_x [0:8, 0:2, 8:16] : (tensor<8x2x16xf32>) -> tensor<8x2x8xf32>
%n8_lc = stablehlo.multiply %n8_l, %n2_cos2 : tensor<8x2x8xf32>
%n8_rs = stablehlo.multiply %n8_r, %n2_sin2 : tensor<8x2x8xf32>
%n8_rc = stablehlo.multiply %n8_r, %n2_cos2 : tensor<8x2x8xf32>
%n8_ls = stablehlo.multiply %n8_l, %n2_sin2 : tensor<8x2x8xf32>
%n8_a = stablehlo.subtract %n8_lc, %n8_rs : tensor<8x2x8xf32>
%n8_b = stablehlo.add %n8_rc, %n8_ls : tensor<8x2x8xf32>
%n8_y = stablehlo.concatenate %n8_a, %n8_b, dim = 2 : (tensor<8x2x8xf32>, tensor<8x2x8xf32>) -> tensor<8x2x16xf32>
%n8 = stablehlo.reshape %n8_y : (tensor<8x2x16xf32>) -> tensor<8x32xf32>
sdy.return %n8 : tensor<8x32xf32>
} : (tensor<8x16xf32>, tensor<8x64xf32>, tensor<64x64xf32>) -> (tensor<8x64xf32>)
return %R#0 : tensor<8x64xf32>
}
func.func private @tt.mark_2(%w: tensor<32x64xf32>) -> tensor<32x64xf32> {
  return %w : tensor<32x64xf32>
}
}
