module @qwenmesh attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=1]>
func.func public @main(%g_n4: tensor<1x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_n8: tensor<1x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_index: tensor<1xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_w1: tensor<32x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w6: tensor<32x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_k0: tensor<1x2x64x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>, tf.aliasing_output = 0 : i32},
    %g_v0: tensor<1x2x64x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>, tf.aliasing_output = 1 : i32}) -> (tensor<1x2x64x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>},
    tensor<1x2x64x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>}) {
%R:2 = sdy.manual_computation(%g_n4, %g_n8, %g_index, %g_w1, %g_w6, %g_k0, %g_v0)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {"x", "y"}, {}, {}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>]
  out_shardings=[<@mesh, [{}, {"x", "y"}, {}, {}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>]
  manual_axes={"x", "y"} (%n4: tensor<1x64xbf16>, %n8: tensor<1x64xbf16>, %index: tensor<1xi32>, %w1_in: tensor<32x64xbf16>, %w6_in: tensor<32x64xbf16>, %k0: tensor<1x2x64x16xbf16>, %v0: tensor<1x2x64x16xbf16>) {
%w1 = func.call @tt.mark_3(%w1_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xbf16>) -> tensor<32x64xbf16>
%w6 = func.call @tt.mark_3(%w6_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xbf16>) -> tensor<32x64xbf16>
%n5 = stablehlo.dot_general %n4, %w1, contracting_dims = [1] x [1] : (tensor<1x64xbf16>, tensor<32x64xbf16>) -> tensor<1x32xbf16>
%n9 = stablehlo.dot_general %n8, %w6, contracting_dims = [1] x [1] : (tensor<1x64xbf16>, tensor<32x64xbf16>) -> tensor<1x32xbf16>
%n10k_u = stablehlo.reshape %n9 : (tensor<1x32xbf16>) -> tensor<1x2x1x16xbf16>
%n10k = "stablehlo.scatter"(%k0, %index, %n10k_u) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  stablehlo.return %b : tensor<bf16>
}) {scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [0, 1, 3], inserted_window_dims = [2], scatter_dims_to_operand_dims = [2], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false} : (tensor<1x2x64x16xbf16>, tensor<1xi32>, tensor<1x2x1x16xbf16>) -> tensor<1x2x64x16xbf16>
%n10v_u = stablehlo.reshape %n5 : (tensor<1x32xbf16>) -> tensor<1x2x1x16xbf16>
%n10v = "stablehlo.scatter"(%v0, %index, %n10v_u) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  stablehlo.return %b : tensor<bf16>
}) {scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [0, 1, 3], inserted_window_dims = [2], scatter_dims_to_operand_dims = [2], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false} : (tensor<1x2x64x16xbf16>, tensor<1xi32>, tensor<1x2x1x16xbf16>) -> tensor<1x2x64x16xbf16>
sdy.return %n10k, %n10v : tensor<1x2x64x16xbf16>, tensor<1x2x64x16xbf16>
} : (tensor<1x64xbf16>, tensor<1x64xbf16>, tensor<1xi32>, tensor<32x64xbf16>, tensor<32x64xbf16>, tensor<1x2x64x16xbf16>, tensor<1x2x64x16xbf16>) -> (tensor<1x2x64x16xbf16>, tensor<1x2x64x16xbf16>)
return %R#0, %R#1 : tensor<1x2x64x16xbf16>, tensor<1x2x64x16xbf16>
}
func.func private @tt.mark_3(%w: tensor<32x64xbf16>) -> tensor<32x64xbf16> {
  return %w : tensor<32x64xbf16>
}
}
