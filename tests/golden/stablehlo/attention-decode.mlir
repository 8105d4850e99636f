module @qwenmesh attributes {mhlo.num_partitions = 2 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=2]>
func.func public @main(%g_n4: tensor<2x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_n8: tensor<2x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_index: tensor<2xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_n13: tensor<2x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w1s: tensor<32x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w6s: tensor<32x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w11s: tensor<64x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_k0: tensor<2x2x64x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>, tf.aliasing_output = 1 : i32},
    %g_v0: tensor<2x2x64x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>, tf.aliasing_output = 2 : i32}) -> (tensor<2x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>},
    tensor<2x2x64x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>},
    tensor<2x2x64x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>}) {
%R:3 = sdy.manual_computation(%g_n4, %g_n8, %g_index, %g_n13, %g_w1s, %g_w6s, %g_w11s, %g_k0, %g_v0)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>]
  out_shardings=[<@mesh, [{}, {"x", "y"}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>]
  manual_axes={"x", "y"} (%n4: tensor<2x64xbf16>, %n8: tensor<2x64xbf16>, %index: tensor<2xi32>, %n13: tensor<2x64xbf16>, %w1s_in: tensor<16x64xbf16>, %w6s_in: tensor<16x64xbf16>, %w11s_in: tensor<32x64xbf16>, %k0: tensor<2x1x64x16xbf16>, %v0: tensor<2x1x64x16xbf16>) {
%w1s = func.call @tt.mark_4(%w1s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%w6s = func.call @tt.mark_4(%w6s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%w11s = func.call @tt.mark_6(%w11s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xbf16>) -> tensor<32x64xbf16>
%n5 = stablehlo.dot_general %n4, %w1s, contracting_dims = [1] x [1] : (tensor<2x64xbf16>, tensor<16x64xbf16>) -> tensor<2x16xbf16>
%n9 = stablehlo.dot_general %n8, %w6s, contracting_dims = [1] x [1] : (tensor<2x64xbf16>, tensor<16x64xbf16>) -> tensor<2x16xbf16>
%place_b = stablehlo.iota dim = 0 : tensor<2x1xi32>
%place_s = stablehlo.reshape %place_b : (tensor<2x1xi32>) -> tensor<2xi32>
%place_p = stablehlo.constant dense<64> : tensor<2xi32>
%place_o = stablehlo.multiply %place_s, %place_p : tensor<2xi32>
%place_t = stablehlo.add %place_o, %index : tensor<2xi32>
%place_tb = stablehlo.broadcast_in_dim %place_t, dims = [0] : (tensor<2xi32>) -> tensor<2x1xi32>
%place_k = stablehlo.iota dim = 1 : tensor<2x1xi32>
%place_c = stablehlo.constant dense<64> : tensor<2x1xi32>
%place_kc = stablehlo.multiply %place_k, %place_c : tensor<2x1xi32>
%place_2 = stablehlo.add %place_tb, %place_kc : tensor<2x1xi32>
%places = stablehlo.reshape %place_2 : (tensor<2x1xi32>) -> tensor<2x1xi32>
%n10k_f = stablehlo.reshape %k0 : (tensor<2x1x64x16xbf16>) -> tensor<128x16xbf16>
%n10k_u = stablehlo.reshape %n9 : (tensor<2x16xbf16>) -> tensor<2x16xbf16>
%n10k_w = "stablehlo.scatter"(%n10k_f, %places, %n10k_u) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  stablehlo.return %b : tensor<bf16>
}) {scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false} : (tensor<128x16xbf16>, tensor<2x1xi32>, tensor<2x16xbf16>) -> tensor<128x16xbf16>
%n10k = stablehlo.reshape %n10k_w : (tensor<128x16xbf16>) -> tensor<2x1x64x16xbf16>
%n10v_f = stablehlo.reshape %v0 : (tensor<2x1x64x16xbf16>) -> tensor<128x16xbf16>
%n10v_u = stablehlo.reshape %n5 : (tensor<2x16xbf16>) -> tensor<2x16xbf16>
%n10v_w = "stablehlo.scatter"(%n10v_f, %places, %n10v_u) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  stablehlo.return %b : tensor<bf16>
}) {scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false} : (tensor<128x16xbf16>, tensor<2x1xi32>, tensor<2x16xbf16>) -> tensor<128x16xbf16>
%n10v = stablehlo.reshape %n10v_w : (tensor<128x16xbf16>) -> tensor<2x1x64x16xbf16>
%n14 = stablehlo.dot_general %n13, %w11s, contracting_dims = [1] x [1] : (tensor<2x64xbf16>, tensor<32x64xbf16>) -> tensor<2x32xbf16>
%at = stablehlo.iota dim = 3 : tensor<2x1x1x64xf32>
%row_f = stablehlo.convert %index : (tensor<2xi32>) -> tensor<2xf32>
%row_2 = stablehlo.reshape %row_f : (tensor<2xf32>) -> tensor<2x1xf32>
%row = stablehlo.broadcast_in_dim %row_2, dims = [0, 2] : (tensor<2x1xf32>) -> tensor<2x1x1x64xf32>
%seen = stablehlo.constant dense<0.0> : tensor<2x1x1x64xf32>
%hidden = stablehlo.constant dense<-1.0e30> : tensor<2x1x1x64xf32>
%past = stablehlo.compare LE, %at, %row, FLOAT : (tensor<2x1x1x64xf32>, tensor<2x1x1x64xf32>) -> tensor<2x1x1x64xi1>
%mask0_p = stablehlo.select %past, %seen, %hidden : tensor<2x1x1x64xi1>, tensor<2x1x1x64xf32>
%mask0 = stablehlo.convert %mask0_p : (tensor<2x1x1x64xf32>) -> tensor<2x1x1x64xbf16>
%n15_q4 = stablehlo.reshape %n14 : (tensor<2x32xbf16>) -> tensor<2x1x2x16xbf16>
%n15_q = stablehlo.transpose %n15_q4, dims = [0, 2, 1, 3] : (tensor<2x1x2x16xbf16>) -> tensor<2x2x1x16xbf16>
%n15_a = stablehlo.composite "tenstorrent.scaled_dot_product_attention" %n15_q, %n10k, %n10v, %mask0 {composite_attributes = {is_causal = false, scale = 2.500000000e-01 : f32}, decomposition = @sdpa} : (tensor<2x2x1x16xbf16>, tensor<2x1x64x16xbf16>, tensor<2x1x64x16xbf16>, tensor<2x1x1x64xbf16>) -> tensor<2x2x1x16xbf16>
%n15_t = stablehlo.transpose %n15_a, dims = [0, 2, 1, 3] : (tensor<2x2x1x16xbf16>) -> tensor<2x1x2x16xbf16>
%n15 = stablehlo.reshape %n15_t : (tensor<2x1x2x16xbf16>) -> tensor<2x32xbf16>
sdy.return %n15, %n10k, %n10v : tensor<2x32xbf16>, tensor<2x1x64x16xbf16>, tensor<2x1x64x16xbf16>
} : (tensor<2x64xbf16>, tensor<2x64xbf16>, tensor<2xi32>, tensor<2x64xbf16>, tensor<32x64xbf16>, tensor<32x64xbf16>, tensor<64x64xbf16>, tensor<2x2x64x16xbf16>, tensor<2x2x64x16xbf16>) -> (tensor<2x64xbf16>, tensor<2x2x64x16xbf16>, tensor<2x2x64x16xbf16>)
return %R#0, %R#1, %R#2 : tensor<2x64xbf16>, tensor<2x2x64x16xbf16>, tensor<2x2x64x16xbf16>
}
func.func private @tt.mark_4(%w: tensor<16x64xbf16>) -> tensor<16x64xbf16> {
  return %w : tensor<16x64xbf16>
}
func.func private @tt.mark_6(%w: tensor<32x64xbf16>) -> tensor<32x64xbf16> {
  return %w : tensor<32x64xbf16>
}
func.func private @sdpa(%q: tensor<2x2x1x16xbf16>, %k: tensor<2x1x64x16xbf16>, %v: tensor<2x1x64x16xbf16>, %mask: tensor<2x1x1x64xbf16>) -> tensor<2x2x1x16xbf16> {
  %q5 = stablehlo.reshape %q : (tensor<2x2x1x16xbf16>) -> tensor<2x1x2x1x16xbf16>
  %s = stablehlo.dot_general %q5, %k, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [3] : (tensor<2x1x2x1x16xbf16>, tensor<2x1x64x16xbf16>) -> tensor<2x1x2x1x64xf32>
  %sc = stablehlo.constant dense<2.500000000e-01> : tensor<2x1x2x1x64xf32>
  %s1 = stablehlo.multiply %s, %sc : tensor<2x1x2x1x64xf32>
  %m3 = stablehlo.reshape %mask : (tensor<2x1x1x64xbf16>) -> tensor<2x1x64xbf16>
  %mf = stablehlo.convert %m3 : (tensor<2x1x64xbf16>) -> tensor<2x1x64xf32>
  %mb = stablehlo.broadcast_in_dim %mf, dims = [0, 3, 4] : (tensor<2x1x64xf32>) -> tensor<2x1x2x1x64xf32>
  %s2 = stablehlo.add %s1, %mb : tensor<2x1x2x1x64xf32>
  %ninf = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %mx = stablehlo.reduce(%s2 init: %ninf) applies stablehlo.maximum across dimensions = [4] : (tensor<2x1x2x1x64xf32>, tensor<f32>) -> tensor<2x1x2x1xf32>
  %mxb = stablehlo.broadcast_in_dim %mx, dims = [0, 1, 2, 3] : (tensor<2x1x2x1xf32>) -> tensor<2x1x2x1x64xf32>
  %s3 = stablehlo.subtract %s2, %mxb : tensor<2x1x2x1x64xf32>
  %ex = stablehlo.exponential %s3 : tensor<2x1x2x1x64xf32>
  %z = stablehlo.constant dense<0.0> : tensor<f32>
  %sm = stablehlo.reduce(%ex init: %z) applies stablehlo.add across dimensions = [4] : (tensor<2x1x2x1x64xf32>, tensor<f32>) -> tensor<2x1x2x1xf32>
  %smb = stablehlo.broadcast_in_dim %sm, dims = [0, 1, 2, 3] : (tensor<2x1x2x1xf32>) -> tensor<2x1x2x1x64xf32>
  %p = stablehlo.divide %ex, %smb : tensor<2x1x2x1x64xf32>
  %pb = stablehlo.convert %p : (tensor<2x1x2x1x64xf32>) -> tensor<2x1x2x1x64xbf16>
  %o = stablehlo.dot_general %pb, %v, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [2] : (tensor<2x1x2x1x64xbf16>, tensor<2x1x64x16xbf16>) -> tensor<2x1x2x1x16xbf16>
  %r = stablehlo.reshape %o : (tensor<2x1x2x1x16xbf16>) -> tensor<2x2x1x16xbf16>
  return %r : tensor<2x2x1x16xbf16>
}
}
