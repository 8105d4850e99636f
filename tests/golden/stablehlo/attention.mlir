module @qwenmesh attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=1]>
func.func public @main(%g_n4: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_n8: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_index: tensor<8xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_slot: tensor<1xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_n13: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w1: tensor<32x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w6: tensor<32x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w11: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_k0: tensor<2x2x64x16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>, tf.aliasing_output = 1 : i32},
    %g_v0: tensor<2x2x64x16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>, tf.aliasing_output = 2 : i32}) -> (tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>},
    tensor<2x2x64x16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>},
    tensor<2x2x64x16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>}) {
%R:3 = sdy.manual_computation(%g_n4, %g_n8, %g_index, %g_slot, %g_n13, %g_w1, %g_w6, %g_w11, %g_k0, %g_v0)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {"x", "y"}, {}, {}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>]
  out_shardings=[<@mesh, [{}, {"x", "y"}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>]
  manual_axes={"x", "y"} (%n4: tensor<8x64xf32>, %n8: tensor<8x64xf32>, %index: tensor<8xi32>, %slot: tensor<1xi32>, %n13: tensor<8x64xf32>, %w1_in: tensor<32x64xf32>, %w6_in: tensor<32x64xf32>, %w11_in: tensor<64x64xf32>, %k0: tensor<2x2x64x16xf32>, %v0: tensor<2x2x64x16xf32>) {
%w1 = func.call @tt.mark_5(%w1_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%w6 = func.call @tt.mark_5(%w6_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%w11 = func.call @tt.mark_7(%w11_in) {ttcore.argument_type = "parameter"} : (tensor<64x64xf32>) -> tensor<64x64xf32>
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
%n14 = stablehlo.dot_general %n13, %w11, contracting_dims = [1] x [1] : (tensor<8x64xf32>, tensor<64x64xf32>) -> tensor<8x64xf32>
%at = stablehlo.iota dim = 3 : tensor<1x1x8x64xf32>
%row_f = stablehlo.convert %index : (tensor<8xi32>) -> tensor<8xf32>
%row_2 = stablehlo.reshape %row_f : (tensor<8xf32>) -> tensor<1x8xf32>
%row = stablehlo.broadcast_in_dim %row_2, dims = [0, 2] : (tensor<1x8xf32>) -> tensor<1x1x8x64xf32>
%seen = stablehlo.constant dense<0.0> : tensor<1x1x8x64xf32>
%hidden = stablehlo.constant dense<-1.0e30> : tensor<1x1x8x64xf32>
%past = stablehlo.compare LE, %at, %row, FLOAT : (tensor<1x1x8x64xf32>, tensor<1x1x8x64xf32>) -> tensor<1x1x8x64xi1>
%mask0_p = stablehlo.select %past, %seen, %hidden : tensor<1x1x8x64xi1>, tensor<1x1x8x64xf32>
%mask0 = stablehlo.convert %mask0_p : (tensor<1x1x8x64xf32>) -> tensor<1x1x8x64xf32>
%slot_start = stablehlo.reshape %slot : (tensor<1xi32>) -> tensor<i32>
%slot_zero = stablehlo.constant dense<0> : tensor<i32>
%n15_k = stablehlo.dynamic_slice %n10k, %slot_start, %slot_zero, %slot_zero, %slot_zero, sizes = [1, 2, 64, 16] : (tensor<2x2x64x16xf32>, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<1x2x64x16xf32>
%n15_v = stablehlo.dynamic_slice %n10v, %slot_start, %slot_zero, %slot_zero, %slot_zero, sizes = [1, 2, 64, 16] : (tensor<2x2x64x16xf32>, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<1x2x64x16xf32>
%n15_q4 = stablehlo.reshape %n14 : (tensor<8x64xf32>) -> tensor<1x8x4x16xf32>
%n15_q = stablehlo.transpose %n15_q4, dims = [0, 2, 1, 3] : (tensor<1x8x4x16xf32>) -> tensor<1x4x8x16xf32>
%n15_a = stablehlo.composite "tenstorrent.scaled_dot_product_attention" %n15_q, %n15_k, %n15_v, %mask0 {composite_attributes = {is_causal = false, scale = 2.500000000e-01 : f32}, decomposition = @sdpa} : (tensor<1x4x8x16xf32>, tensor<1x2x64x16xf32>, tensor<1x2x64x16xf32>, tensor<1x1x8x64xf32>) -> tensor<1x4x8x16xf32>
%n15_t = stablehlo.transpose %n15_a, dims = [0, 2, 1, 3] : (tensor<1x4x8x16xf32>) -> tensor<1x8x4x16xf32>
%n15 = stablehlo.reshape %n15_t : (tensor<1x8x4x16xf32>) -> tensor<8x64xf32>
sdy.return %n15, %n10k, %n10v : tensor<8x64xf32>, tensor<2x2x64x16xf32>, tensor<2x2x64x16xf32>
} : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<8xi32>, tensor<1xi32>, tensor<8x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>, tensor<2x2x64x16xf32>, tensor<2x2x64x16xf32>) -> (tensor<8x64xf32>, tensor<2x2x64x16xf32>, tensor<2x2x64x16xf32>)
return %R#0, %R#1, %R#2 : tensor<8x64xf32>, tensor<2x2x64x16xf32>, tensor<2x2x64x16xf32>
}
func.func private @tt.mark_5(%w: tensor<32x64xf32>) -> tensor<32x64xf32> {
  return %w : tensor<32x64xf32>
}
func.func private @tt.mark_7(%w: tensor<64x64xf32>) -> tensor<64x64xf32> {
  return %w : tensor<64x64xf32>
}
func.func private @sdpa(%q: tensor<1x4x8x16xf32>, %k: tensor<1x2x64x16xf32>, %v: tensor<1x2x64x16xf32>, %mask: tensor<1x1x8x64xf32>) -> tensor<1x4x8x16xf32> {
  %q5 = stablehlo.reshape %q : (tensor<1x4x8x16xf32>) -> tensor<1x2x2x8x16xf32>
  %s = stablehlo.dot_general %q5, %k, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [3] : (tensor<1x2x2x8x16xf32>, tensor<1x2x64x16xf32>) -> tensor<1x2x2x8x64xf32>
  %sc = stablehlo.constant dense<2.500000000e-01> : tensor<1x2x2x8x64xf32>
  %s1 = stablehlo.multiply %s, %sc : tensor<1x2x2x8x64xf32>
  %m3 = stablehlo.reshape %mask : (tensor<1x1x8x64xf32>) -> tensor<1x8x64xf32>
  %mf = stablehlo.convert %m3 : (tensor<1x8x64xf32>) -> tensor<1x8x64xf32>
  %mb = stablehlo.broadcast_in_dim %mf, dims = [0, 3, 4] : (tensor<1x8x64xf32>) -> tensor<1x2x2x8x64xf32>
  %s2 = stablehlo.add %s1, %mb : tensor<1x2x2x8x64xf32>
  %ninf = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %mx = stablehlo.reduce(%s2 init: %ninf) applies stablehlo.maximum across dimensions = [4] : (tensor<1x2x2x8x64xf32>, tensor<f32>) -> tensor<1x2x2x8xf32>
  %mxb = stablehlo.broadcast_in_dim %mx, dims = [0, 1, 2, 3] : (tensor<1x2x2x8xf32>) -> tensor<1x2x2x8x64xf32>
  %s3 = stablehlo.subtract %s2, %mxb : tensor<1x2x2x8x64xf32>
  %ex = stablehlo.exponential %s3 : tensor<1x2x2x8x64xf32>
  %z = stablehlo.constant dense<0.0> : tensor<f32>
  %sm = stablehlo.reduce(%ex init: %z) applies stablehlo.add across dimensions = [4] : (tensor<1x2x2x8x64xf32>, tensor<f32>) -> tensor<1x2x2x8xf32>
  %smb = stablehlo.broadcast_in_dim %sm, dims = [0, 1, 2, 3] : (tensor<1x2x2x8xf32>) -> tensor<1x2x2x8x64xf32>
  %p = stablehlo.divide %ex, %smb : tensor<1x2x2x8x64xf32>
  %pb = stablehlo.convert %p : (tensor<1x2x2x8x64xf32>) -> tensor<1x2x2x8x64xf32>
  %o = stablehlo.dot_general %pb, %v, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [2] : (tensor<1x2x2x8x64xf32>, tensor<1x2x64x16xf32>) -> tensor<1x2x2x8x16xf32>
  %r = stablehlo.reshape %o : (tensor<1x2x2x8x16xf32>) -> tensor<1x4x8x16xf32>
  return %r : tensor<1x4x8x16xf32>
}
}
