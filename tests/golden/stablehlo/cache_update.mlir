module @qwenmesh attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=1]>
func.func public @main(%g_n4: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_n8: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_index: tensor<8xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_slot: tensor<1xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_w1: tensor<32x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w6: tensor<32x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_k0: tensor<2x2x64x16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>, tf.aliasing_output = 0 : i32},
    %g_v0: tensor<2x2x64x16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>, tf.aliasing_output = 1 : i32}) -> (tensor<2x2x64x16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>},
    tensor<2x2x64x16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>}) {
%R:2 = sdy.manual_computation(%g_n4, %g_n8, %g_index, %g_slot, %g_w1, %g_w6, %g_k0, %g_v0)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {"x", "y"}, {}, {}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>]
  out_shardings=[<@mesh, [{}, {"x", "y"}, {}, {}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>]
  manual_axes={"x", "y"} (%n4: tensor<8x64xf32>, %n8: tensor<8x64xf32>, %index: tensor<8xi32>, %slot: tensor<1xi32>, %w1_in: tensor<32x64xf32>, %w6_in: tensor<32x64xf32>, %k0: tensor<2x2x64x16xf32>, %v0: tensor<2x2x64x16xf32>) {
%w1 = func.call @tt.mark_4(%w1_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%w6 = func.call @tt.mark_4(%w6_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%n5 = stablehlo.dot_general %n4, %w1, contracting_dims = [1] x [1] : (tensor<8x64xf32>, tensor<32x64xf32>) -> tensor<8x32xf32>
%n9 = stablehlo.dot_general %n8, %w6, contracting_dims = [1] x [1] : (tensor<8x64xf32>, tensor<32x64xf32>) -> tensor<8x32xf32>
%place_b = stablehlo.reshape %slot : (tensor<1xi32>) -> tensor<i32>
%place_s = stablehlo.broadcast_in_dim %place_b, dims = [] : (tensor<i32>) -> tensor<8xi32>
%place_p = stablehlo.constant dense<128> : tensor<8xi32>
%place_o = stablehlo.multiply %place_s, %place_p : tensor<8xi32>
%place_t = stablehlo.add %place_o, %index : tensor<8xi32>
%place_tb = stablehlo.broadcast_in_dim %place_t, dims = [0] : (tensor<8xi32>) -> tensor<8x2xi32>
%place_k = stablehlo.iota dim = 1 : tensor<8x2xi32>
%place_c = stablehlo.constant dense<64> : tensor<8x2xi32>
%place_kc = stablehlo.multiply %place_k, %place_c : tensor<8x2xi32>
%place_2 = stablehlo.add %place_tb, %place_kc : tensor<8x2xi32>
%places = stablehlo.reshape %place_2 : (tensor<8x2xi32>) -> tensor<16x1xi32>
%n10k_f = stablehlo.reshape %k0 : (tensor<2x2x64x16xf32>) -> tensor<256x16xf32>
%n10k_u = stablehlo.reshape %n9 : (tensor<8x32xf32>) -> tensor<16x16xf32>
%n10k_w = "stablehlo.scatter"(%n10k_f, %places, %n10k_u) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  stablehlo.return %b : tensor<f32>
}) {scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false} : (tensor<256x16xf32>, tensor<16x1xi32>, tensor<16x16xf32>) -> tensor<256x16xf32>
%n10k = stablehlo.reshape %n10k_w : (tensor<256x16xf32>) -> tensor<2x2x64x16xf32>
%n10v_f = stablehlo.reshape %v0 : (tensor<2x2x64x16xf32>) -> tensor<256x16xf32>
%n10v_u = stablehlo.reshape %n5 : (tensor<8x32xf32>) -> tensor<16x16xf32>
%n10v_w = "stablehlo.scatter"(%n10v_f, %places, %n10v_u) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  stablehlo.return %b : tensor<f32>
}) {scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false} : (tensor<256x16xf32>, tensor<16x1xi32>, tensor<16x16xf32>) -> tensor<256x16xf32>
%n10v = stablehlo.reshape %n10v_w : (tensor<256x16xf32>) -> tensor<2x2x64x16xf32>
sdy.return %n10k, %n10v : tensor<2x2x64x16xf32>, tensor<2x2x64x16xf32>
} : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<8xi32>, tensor<1xi32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<2x2x64x16xf32>, tensor<2x2x64x16xf32>) -> (tensor<2x2x64x16xf32>, tensor<2x2x64x16xf32>)
return %R#0, %R#1 : tensor<2x2x64x16xf32>, tensor<2x2x64x16xf32>
}
func.func private @tt.mark_4(%w: tensor<32x64xf32>) -> tensor<32x64xf32> {
  return %w : tensor<32x64xf32>
}
}
