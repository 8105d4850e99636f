module @qwenmesh attributes {mhlo.num_partitions = 8 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=2, "y"=4]>
func.func public @main(%g_tokens: tensor<32xi32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>},
    %g_segment: tensor<32xi32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>},
    %g_labels: tensor<32xi32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>},
    %g_scalars: tensor<20xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_x0: tensor<32x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {}]>},
    %g_x1: tensor<32x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {}]>},
    %g_shard: tensor<72xi32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    %g_s0: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    %g_s1: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_s2: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    %g_s3: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    %g_s4: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    %g_s5: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    %g_s6: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    %g_s7: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    %g_s8: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    %g_s9: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_s10: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    %g_s11: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    %g_s12: tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    %g_s13: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_s14: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>}) -> (tensor<32xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>},
    tensor<128x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {"y"}]>},
    tensor<256x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    tensor<256x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {"y"}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>}) {
%R:31 = sdy.manual_computation(%g_tokens, %g_segment, %g_labels, %g_scalars, %g_x0, %g_x1, %g_shard, %g_s0, %g_s1, %g_s2, %g_s3, %g_s4, %g_s5, %g_s6, %g_s7, %g_s8, %g_s9, %g_s10, %g_s11, %g_s12, %g_s13, %g_s14)
  in_shardings=[<@mesh, [{"x"}], replicated={"y"}>, <@mesh, [{"x"}], replicated={"y"}>, <@mesh, [{"x"}], replicated={"y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x"}, {}], replicated={"y"}>, <@mesh, [{"x"}, {}], replicated={"y"}>, <@mesh, [{"x", "y"}]>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}, {}], replicated={"x"}>]
  out_shardings=[<@mesh, [{"x"}], replicated={"y"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x"}], replicated={"y"}>, <@mesh, [{"x"}, {"y"}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x"}], replicated={"y"}>, <@mesh, [{"x"}, {"y"}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}]>, <@mesh, [{"x"}], replicated={"y"}>, <@mesh, [{"x", "y"}, {}]>]
  manual_axes={"x", "y"} (%tokens: tensor<16xi32>, %segment: tensor<16xi32>, %labels: tensor<16xi32>, %scalars: tensor<20xf32>, %x0: tensor<16x16xbf16>, %x1: tensor<16x16xbf16>, %shard: tensor<9xi32>, %s0: tensor<16x64xf32>, %s1: tensor<64xf32>, %s2: tensor<16x64xf32>, %s3: tensor<16xf32>, %s4: tensor<16x64xf32>, %s5: tensor<16xf32>, %s6: tensor<16x64xf32>, %s7: tensor<16xf32>, %s8: tensor<64x16xf32>, %s9: tensor<64xf32>, %s10: tensor<32x64xf32>, %s11: tensor<32x64xf32>, %s12: tensor<64x32xf32>, %s13: tensor<64xf32>, %s14: tensor<16x64xf32>) {
%place_0_1 = stablehlo.slice %shard [0:1] : (tensor<9xi32>) -> tensor<1xi32>
%place_0 = stablehlo.reshape %place_0_1 : (tensor<1xi32>) -> tensor<i32>
%tokens_f = stablehlo.broadcast_in_dim %place_0, dims = [] : (tensor<i32>) -> tensor<16xi32>
%tokens_at = stablehlo.subtract %tokens, %tokens_f : tensor<16xi32>
%place_1_1 = stablehlo.slice %shard [1:2] : (tensor<9xi32>) -> tensor<1xi32>
%place_1 = stablehlo.reshape %place_1_1 : (tensor<1xi32>) -> tensor<i32>
%tokens_n = stablehlo.broadcast_in_dim %place_1, dims = [] : (tensor<i32>) -> tensor<16xi32>
%tokens_0 = stablehlo.constant dense<0> : tensor<16xi32>
%tokens_ge = stablehlo.compare GE, %tokens_at, %tokens_0, SIGNED : (tensor<16xi32>, tensor<16xi32>) -> tensor<16xi1>
%tokens_lt = stablehlo.compare LT, %tokens_at, %tokens_n, SIGNED : (tensor<16xi32>, tensor<16xi32>) -> tensor<16xi1>
%tokens_own = stablehlo.and %tokens_ge, %tokens_lt : tensor<16xi1>
%tokens_row = stablehlo.select %tokens_own, %tokens_at, %tokens_0 : tensor<16xi1>, tensor<16xi32>
%n1_g = "stablehlo.gather"(%s0, %tokens_row) {dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 64>, indices_are_sorted = false} : (tensor<16x64xf32>, tensor<16xi32>) -> tensor<16x64xf32>
%n1_o = stablehlo.broadcast_in_dim %tokens_own, dims = [0] : (tensor<16xi1>) -> tensor<16x64xi1>
%n1_0 = stablehlo.constant dense<0.000000000e+00> : tensor<16x64xf32>
%n1_wide = stablehlo.select %n1_o, %n1_g, %n1_0 : tensor<16x64xi1>, tensor<16x64xf32>
%n1 = stablehlo.convert %n1_wide : (tensor<16x64xf32>) -> tensor<16x64xbf16>
%n2 = "stablehlo.all_reduce"(%n1) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  %c = stablehlo.add %a, %b : tensor<bf16>
  stablehlo.return %c : tensor<bf16>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, use_global_device_ids} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%s1_bf16 = stablehlo.convert %s1 : (tensor<64xf32>) -> tensor<64xbf16>
%n3 = stablehlo.composite "tenstorrent.rms_norm" %n2, %s1_bf16 {composite_attributes = {epsilon = 9.999999975e-07 : f32, normalized_shape = dense<[64]> : tensor<1xi64>}, decomposition = @rms_norm_16x64} : (tensor<16x64xbf16>, tensor<64xbf16>) -> tensor<16x64xbf16>
%s2_bf16 = stablehlo.convert %s2 : (tensor<16x64xf32>) -> tensor<16x64xbf16>
%n4_p = stablehlo.dot_general %n3, %s2_bf16, contracting_dims = [1] x [1] : (tensor<16x64xbf16>, tensor<16x64xbf16>) -> tensor<16x16xbf16>
%s3_bf16 = stablehlo.convert %s3 : (tensor<16xf32>) -> tensor<16xbf16>
%n4_b = stablehlo.broadcast_in_dim %s3_bf16, dims = [1] : (tensor<16xbf16>) -> tensor<16x16xbf16>
%n4 = stablehlo.add %n4_p, %n4_b : tensor<16x16xbf16>
%s4_bf16 = stablehlo.convert %s4 : (tensor<16x64xf32>) -> tensor<16x64xbf16>
%n5_p = stablehlo.dot_general %n3, %s4_bf16, contracting_dims = [1] x [1] : (tensor<16x64xbf16>, tensor<16x64xbf16>) -> tensor<16x16xbf16>
%s5_bf16 = stablehlo.convert %s5 : (tensor<16xf32>) -> tensor<16xbf16>
%n5_b = stablehlo.broadcast_in_dim %s5_bf16, dims = [1] : (tensor<16xbf16>) -> tensor<16x16xbf16>
%n5 = stablehlo.add %n5_p, %n5_b : tensor<16x16xbf16>
%s6_bf16 = stablehlo.convert %s6 : (tensor<16x64xf32>) -> tensor<16x64xbf16>
%n6_p = stablehlo.dot_general %n3, %s6_bf16, contracting_dims = [1] x [1] : (tensor<16x64xbf16>, tensor<16x64xbf16>) -> tensor<16x16xbf16>
%s7_bf16 = stablehlo.convert %s7 : (tensor<16xf32>) -> tensor<16xbf16>
%n6_b = stablehlo.broadcast_in_dim %s7_bf16, dims = [1] : (tensor<16xbf16>) -> tensor<16x16xbf16>
%n6 = stablehlo.add %n6_p, %n6_b : tensor<16x16xbf16>
%x0_cos1_s = stablehlo.slice %x0 [0:16, 0:8] : (tensor<16x16xbf16>) -> tensor<16x8xbf16>
%x0_cos1 = stablehlo.broadcast_in_dim %x0_cos1_s, dims = [0, 2] : (tensor<16x8xbf16>) -> tensor<16x1x8xbf16>
%x0_sin1_s = stablehlo.slice %x0 [0:16, 8:16] : (tensor<16x16xbf16>) -> tensor<16x8xbf16>
%x0_sin1 = stablehlo.broadcast_in_dim %x0_sin1_s, dims = [0, 2] : (tensor<16x8xbf16>) -> tensor<16x1x8xbf16>
%n7_x = stablehlo.reshape %n5 : (tensor<16x16xbf16>) -> tensor<16x1x16xbf16>
%n7_l = stablehlo.slice %n7_x [0:16, 0:1, 0:8] : (tensor<16x1x16xbf16>) -> tensor<16x1x8xbf16>
%n7_r = stablehlo.slice %n7_x [0:16, 0:1, 8:16] : (tensor<16x1x16xbf16>) -> tensor<16x1x8xbf16>
%n7_lc = stablehlo.multiply %n7_l, %x0_cos1 : tensor<16x1x8xbf16>
%n7_rs = stablehlo.multiply %n7_r, %x0_sin1 : tensor<16x1x8xbf16>
%n7_rc = stablehlo.multiply %n7_r, %x0_cos1 : tensor<16x1x8xbf16>
%n7_ls = stablehlo.multiply %n7_l, %x0_sin1 : tensor<16x1x8xbf16>
%n7_a = stablehlo.subtract %n7_lc, %n7_rs : tensor<16x1x8xbf16>
%n7_b = stablehlo.add %n7_rc, %n7_ls : tensor<16x1x8xbf16>
%n7_y = stablehlo.concatenate %n7_a, %n7_b, dim = 2 : (tensor<16x1x8xbf16>, tensor<16x1x8xbf16>) -> tensor<16x1x16xbf16>
%n7 = stablehlo.reshape %n7_y : (tensor<16x1x16xbf16>) -> tensor<16x16xbf16>
%n9_x = stablehlo.reshape %n4 : (tensor<16x16xbf16>) -> tensor<16x1x16xbf16>
%n9_l = stablehlo.slice %n9_x [0:16, 0:1, 0:8] : (tensor<16x1x16xbf16>) -> tensor<16x1x8xbf16>
%n9_r = stablehlo.slice %n9_x [0:16, 0:1, 8:16] : (tensor<16x1x16xbf16>) -> tensor<16x1x8xbf16>
%n9_lc = stablehlo.multiply %n9_l, %x0_cos1 : tensor<16x1x8xbf16>
%n9_rs = stablehlo.multiply %n9_r, %x0_sin1 : tensor<16x1x8xbf16>
%n9_rc = stablehlo.multiply %n9_r, %x0_cos1 : tensor<16x1x8xbf16>
%n9_ls = stablehlo.multiply %n9_l, %x0_sin1 : tensor<16x1x8xbf16>
%n9_a = stablehlo.subtract %n9_lc, %n9_rs : tensor<16x1x8xbf16>
%n9_b = stablehlo.add %n9_rc, %n9_ls : tensor<16x1x8xbf16>
%n9_y = stablehlo.concatenate %n9_a, %n9_b, dim = 2 : (tensor<16x1x8xbf16>, tensor<16x1x8xbf16>) -> tensor<16x1x16xbf16>
%n9 = stablehlo.reshape %n9_y : (tensor<16x1x16xbf16>) -> tensor<16x16xbf16>
%n10_q_rows = stablehlo.reshape %n9 : (tensor<16x16xbf16>) -> tensor<2x8x1x1x16xbf16>
%n10_q = stablehlo.transpose %n10_q_rows, dims = [0, 2, 3, 1, 4] : (tensor<2x8x1x1x16xbf16>) -> tensor<2x1x1x8x16xbf16>
%n10_k_rows = stablehlo.reshape %n7 : (tensor<16x16xbf16>) -> tensor<2x8x1x16xbf16>
%n10_k = stablehlo.transpose %n10_k_rows, dims = [0, 2, 1, 3] : (tensor<2x8x1x16xbf16>) -> tensor<2x1x8x16xbf16>
%n10_v_rows = stablehlo.reshape %n6 : (tensor<16x16xbf16>) -> tensor<2x8x1x16xbf16>
%n10_v = stablehlo.transpose %n10_v_rows, dims = [0, 2, 1, 3] : (tensor<2x8x1x16xbf16>) -> tensor<2x1x8x16xbf16>
%sees_g = stablehlo.reshape %segment : (tensor<16xi32>) -> tensor<2x8xi32>
%sees_gt = stablehlo.broadcast_in_dim %sees_g, dims = [0, 1] : (tensor<2x8xi32>) -> tensor<2x8x8xi32>
%sees_gp = stablehlo.broadcast_in_dim %sees_g, dims = [0, 2] : (tensor<2x8xi32>) -> tensor<2x8x8xi32>
%sees_own = stablehlo.compare EQ, %sees_gt, %sees_gp, SIGNED : (tensor<2x8x8xi32>, tensor<2x8x8xi32>) -> tensor<2x8x8xi1>
%sees_t = stablehlo.iota dim = 1 : tensor<2x8x8xi32>
%sees_p = stablehlo.iota dim = 2 : tensor<2x8x8xi32>
%sees_past = stablehlo.compare GE, %sees_t, %sees_p, SIGNED : (tensor<2x8x8xi32>, tensor<2x8x8xi32>) -> tensor<2x8x8xi1>
%sees_all = stablehlo.and %sees_own, %sees_past : tensor<2x8x8xi1>
%sees_yes = stablehlo.constant dense<0.000000000e+00> : tensor<2x8x8xf32>
%sees_no = stablehlo.constant dense<-1.000000000e+30> : tensor<2x8x8xf32>
%sees0 = stablehlo.select %sees_all, %sees_yes, %sees_no : tensor<2x8x8xi1>, tensor<2x8x8xf32>
%n10_qk = stablehlo.dot_general %n10_q, %n10_k, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [3] : (tensor<2x1x1x8x16xbf16>, tensor<2x1x8x16xbf16>) -> tensor<2x1x1x8x8xf32>
%n10_scale = stablehlo.constant dense<2.500000000e-01> : tensor<2x1x1x8x8xf32>
%n10_score = stablehlo.multiply %n10_qk, %n10_scale : tensor<2x1x1x8x8xf32>
%n10_sees = stablehlo.broadcast_in_dim %sees0, dims = [0, 3, 4] : (tensor<2x8x8xf32>) -> tensor<2x1x1x8x8xf32>
%n10_masked = stablehlo.add %n10_score, %n10_sees : tensor<2x1x1x8x8xf32>
%n10_most_init = stablehlo.constant dense<0xFF800000> : tensor<f32>
%n10_most = stablehlo.reduce(%n10_masked init: %n10_most_init) applies stablehlo.maximum across dimensions = [4] : (tensor<2x1x1x8x8xf32>, tensor<f32>) -> tensor<2x1x1x8xf32>
%n10_mb = stablehlo.broadcast_in_dim %n10_most, dims = [0, 1, 2, 3] : (tensor<2x1x1x8xf32>) -> tensor<2x1x1x8x8xf32>
%n10_d = stablehlo.subtract %n10_masked, %n10_mb : tensor<2x1x1x8x8xf32>
%n10_e = stablehlo.exponential %n10_d : tensor<2x1x1x8x8xf32>
%n10_sum_init = stablehlo.constant dense<0.0> : tensor<f32>
%n10_sum = stablehlo.reduce(%n10_e init: %n10_sum_init) applies stablehlo.add across dimensions = [4] : (tensor<2x1x1x8x8xf32>, tensor<f32>) -> tensor<2x1x1x8xf32>
%n10_sb = stablehlo.broadcast_in_dim %n10_sum, dims = [0, 1, 2, 3] : (tensor<2x1x1x8xf32>) -> tensor<2x1x1x8x8xf32>
%n10_p = stablehlo.divide %n10_e, %n10_sb : tensor<2x1x1x8x8xf32>
%n10_p_bf16 = stablehlo.convert %n10_p : (tensor<2x1x1x8x8xf32>) -> tensor<2x1x1x8x8xbf16>
%n10_o = stablehlo.dot_general %n10_p_bf16, %n10_v, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [2] : (tensor<2x1x1x8x8xbf16>, tensor<2x1x8x16xbf16>) -> tensor<2x1x1x8x16xbf16>
%n10_turned = stablehlo.transpose %n10_o, dims = [0, 3, 1, 2, 4] : (tensor<2x1x1x8x16xbf16>) -> tensor<2x8x1x1x16xbf16>
%n10 = stablehlo.reshape %n10_turned : (tensor<2x8x1x1x16xbf16>) -> tensor<16x16xbf16>
%n10_log = stablehlo.log %n10_sum : tensor<2x1x1x8xf32>
%n10_lse = stablehlo.add %n10_most, %n10_log : tensor<2x1x1x8xf32>
%n10_lt = stablehlo.transpose %n10_lse, dims = [0, 3, 1, 2] : (tensor<2x1x1x8xf32>) -> tensor<2x8x1x1xf32>
%n10_r1 = stablehlo.reshape %n10_lt : (tensor<2x8x1x1xf32>) -> tensor<16x1xf32>
%s8_bf16 = stablehlo.convert %s8 : (tensor<64x16xf32>) -> tensor<64x16xbf16>
%n11 = stablehlo.dot_general %n10, %s8_bf16, contracting_dims = [1] x [1] : (tensor<16x16xbf16>, tensor<64x16xbf16>) -> tensor<16x64xbf16>
%n12 = "stablehlo.all_reduce"(%n11) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  %c = stablehlo.add %a, %b : tensor<bf16>
  stablehlo.return %c : tensor<bf16>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 2, type = 1>, use_global_device_ids} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%n13 = stablehlo.add %n2, %n12 : tensor<16x64xbf16>
%s9_bf16 = stablehlo.convert %s9 : (tensor<64xf32>) -> tensor<64xbf16>
%n14 = stablehlo.composite "tenstorrent.rms_norm" %n13, %s9_bf16 {composite_attributes = {epsilon = 9.999999975e-07 : f32, normalized_shape = dense<[64]> : tensor<1xi64>}, decomposition = @rms_norm_16x64} : (tensor<16x64xbf16>, tensor<64xbf16>) -> tensor<16x64xbf16>
%s10_bf16 = stablehlo.convert %s10 : (tensor<32x64xf32>) -> tensor<32x64xbf16>
%n15 = stablehlo.dot_general %n14, %s10_bf16, contracting_dims = [1] x [1] : (tensor<16x64xbf16>, tensor<32x64xbf16>) -> tensor<16x32xbf16>
%s11_bf16 = stablehlo.convert %s11 : (tensor<32x64xf32>) -> tensor<32x64xbf16>
%n16 = stablehlo.dot_general %n14, %s11_bf16, contracting_dims = [1] x [1] : (tensor<16x64xbf16>, tensor<32x64xbf16>) -> tensor<16x32xbf16>
%n17_l = stablehlo.logistic %n15 : tensor<16x32xbf16>
%n17_g = stablehlo.multiply %n15, %n17_l : tensor<16x32xbf16>
%n17 = stablehlo.multiply %n17_g, %n16 : tensor<16x32xbf16>
%s12_bf16 = stablehlo.convert %s12 : (tensor<64x32xf32>) -> tensor<64x32xbf16>
%n18 = stablehlo.dot_general %n17, %s12_bf16, contracting_dims = [1] x [1] : (tensor<16x32xbf16>, tensor<64x32xbf16>) -> tensor<16x64xbf16>
%n19 = "stablehlo.all_reduce"(%n18) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  %c = stablehlo.add %a, %b : tensor<bf16>
  stablehlo.return %c : tensor<bf16>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 3, type = 1>, use_global_device_ids} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%n20 = stablehlo.add %n13, %n19 : tensor<16x64xbf16>
%n21 = stablehlo.reshape %n20 : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%s13_bf16 = stablehlo.convert %s13 : (tensor<64xf32>) -> tensor<64xbf16>
%n22 = stablehlo.composite "tenstorrent.rms_norm" %n21, %s13_bf16 {composite_attributes = {epsilon = 9.999999975e-07 : f32, normalized_shape = dense<[64]> : tensor<1xi64>}, decomposition = @rms_norm_16x64} : (tensor<16x64xbf16>, tensor<64xbf16>) -> tensor<16x64xbf16>
%s14_bf16 = stablehlo.convert %s14 : (tensor<16x64xf32>) -> tensor<16x64xbf16>
%n23 = stablehlo.dot_general %n22, %s14_bf16, contracting_dims = [1] x [1] : (tensor<16x64xbf16>, tensor<16x64xbf16>) -> tensor<16x16xbf16>
%n23_f32 = stablehlo.convert %n23 : (tensor<16x16xbf16>) -> tensor<16x16xf32>
%n24_init = stablehlo.constant dense<0xFF800000> : tensor<f32>
%n24 = stablehlo.reduce(%n23_f32 init: %n24_init) applies stablehlo.maximum across dimensions = [1] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n25 = "stablehlo.all_reduce"(%n24) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.maximum %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 4, type = 1>, use_global_device_ids} : (tensor<16xf32>) -> tensor<16xf32>
%n26_m = stablehlo.broadcast_in_dim %n25, dims = [0] : (tensor<16xf32>) -> tensor<16x16xf32>
%n26_d = stablehlo.subtract %n23_f32, %n26_m : tensor<16x16xf32>
%n26_e = stablehlo.exponential %n26_d : tensor<16x16xf32>
%n26_init = stablehlo.constant dense<0.0> : tensor<f32>
%n26 = stablehlo.reduce(%n26_e init: %n26_init) applies stablehlo.add across dimensions = [1] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n27 = "stablehlo.all_reduce"(%n26) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 5, type = 1>, use_global_device_ids} : (tensor<16xf32>) -> tensor<16xf32>
%hot_i = stablehlo.iota dim = 1 : tensor<16x16xi32>
%hot_f = stablehlo.broadcast_in_dim %place_0, dims = [] : (tensor<i32>) -> tensor<16xi32>
%hot_o = stablehlo.subtract %labels, %hot_f : tensor<16xi32>
%hot_l = stablehlo.broadcast_in_dim %hot_o, dims = [0] : (tensor<16xi32>) -> tensor<16x16xi32>
%hot = stablehlo.compare EQ, %hot_i, %hot_l, SIGNED : (tensor<16x16xi32>, tensor<16x16xi32>) -> tensor<16x16xi1>
%n28_0 = stablehlo.constant dense<0.000000000e+00> : tensor<16x16xf32>
%n28_h = stablehlo.select %hot, %n23_f32, %n28_0 : tensor<16x16xi1>, tensor<16x16xf32>
%n28_init = stablehlo.constant dense<0.0> : tensor<f32>
%n28 = stablehlo.reduce(%n28_h init: %n28_init) applies stablehlo.add across dimensions = [1] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n29 = "stablehlo.all_reduce"(%n28) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 6, type = 1>, use_global_device_ids} : (tensor<16xf32>) -> tensor<16xf32>
%n30_init = stablehlo.constant dense<0.0> : tensor<f32>
%n30 = stablehlo.reduce(%n23_f32 init: %n30_init) applies stablehlo.add across dimensions = [1] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n31 = "stablehlo.all_reduce"(%n30) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 7, type = 1>, use_global_device_ids} : (tensor<16xf32>) -> tensor<16xf32>
%n32_s = stablehlo.log %n27 : tensor<16xf32>
%n32_l = stablehlo.add %n25, %n32_s : tensor<16xf32>
%n32_o = stablehlo.subtract %n32_l, %n29 : tensor<16xf32>
%scalar_4_1 = stablehlo.slice %scalars [4:5] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_4 = stablehlo.reshape %scalar_4_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_4_16xf32 = stablehlo.broadcast_in_dim %scalar_4, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n32_own = stablehlo.multiply %n32_o, %scalar_4_16xf32 : tensor<16xf32>
%n32_v = stablehlo.constant dense<6.400000000e+01> : tensor<16xf32>
%n32_m = stablehlo.divide %n31, %n32_v : tensor<16xf32>
%n32_f = stablehlo.subtract %n32_l, %n32_m : tensor<16xf32>
%scalar_3_1 = stablehlo.slice %scalars [3:4] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_3 = stablehlo.reshape %scalar_3_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_3_16xf32 = stablehlo.broadcast_in_dim %scalar_3, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n32_flat = stablehlo.multiply %n32_f, %scalar_3_16xf32 : tensor<16xf32>
%n32_a = stablehlo.add %n32_own, %n32_flat : tensor<16xf32>
%n32_z = stablehlo.multiply %n32_l, %n32_l : tensor<16xf32>
%scalar_5_1 = stablehlo.slice %scalars [5:6] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_5 = stablehlo.reshape %scalar_5_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_5_16xf32 = stablehlo.broadcast_in_dim %scalar_5, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n32_c = stablehlo.multiply %n32_z, %scalar_5_16xf32 : tensor<16xf32>
%n32 = stablehlo.add %n32_a, %n32_c : tensor<16xf32>
%weights_0 = stablehlo.constant dense<0> : tensor<16xi32>
%weights_l = stablehlo.compare GE, %labels, %weights_0, SIGNED : (tensor<16xi32>, tensor<16xi32>) -> tensor<16xi1>
%weights_n = stablehlo.constant dense<0.000000000e+00> : tensor<16xf32>
%scalar_2_1 = stablehlo.slice %scalars [2:3] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_2 = stablehlo.reshape %scalar_2_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_2_16xf32 = stablehlo.broadcast_in_dim %scalar_2, dims = [] : (tensor<f32>) -> tensor<16xf32>
%weights = stablehlo.select %weights_l, %scalar_2_16xf32, %weights_n : tensor<16xi1>, tensor<16xf32>
%n33_s = stablehlo.log %n27 : tensor<16xf32>
%n33_l = stablehlo.add %n25, %n33_s : tensor<16xf32>
%n33_c = stablehlo.multiply %n33_l, %scalar_5_16xf32 : tensor<16xf32>
%n33_2 = stablehlo.add %n33_c, %n33_c : tensor<16xf32>
%n33_1 = stablehlo.constant dense<1.000000000e+00> : tensor<16xf32>
%n33_k = stablehlo.add %n33_1, %n33_2 : tensor<16xf32>
%n33_wk = stablehlo.multiply %weights, %n33_k : tensor<16xf32>
%n33_ws = stablehlo.divide %n33_wk, %n27 : tensor<16xf32>
%n33_by = stablehlo.broadcast_in_dim %n33_ws, dims = [0] : (tensor<16xf32>) -> tensor<16x16xf32>
%n33_m = stablehlo.broadcast_in_dim %n25, dims = [0] : (tensor<16xf32>) -> tensor<16x16xf32>
%n33_d = stablehlo.subtract %n23_f32, %n33_m : tensor<16x16xf32>
%n33_e = stablehlo.exponential %n33_d : tensor<16x16xf32>
%n33_p = stablehlo.multiply %n33_e, %n33_by : tensor<16x16xf32>
%n33_wr = stablehlo.multiply %weights, %scalar_4_16xf32 : tensor<16xf32>
%n33_rb = stablehlo.broadcast_in_dim %n33_wr, dims = [0] : (tensor<16xf32>) -> tensor<16x16xf32>
%n33_0 = stablehlo.constant dense<0.000000000e+00> : tensor<16x16xf32>
%n33_right = stablehlo.select %hot, %n33_rb, %n33_0 : tensor<16x16xi1>, tensor<16x16xf32>
%n33_we = stablehlo.multiply %weights, %scalar_3_16xf32 : tensor<16xf32>
%n33_v = stablehlo.constant dense<6.400000000e+01> : tensor<16xf32>
%n33_wv = stablehlo.divide %n33_we, %n33_v : tensor<16xf32>
%n33_smooth = stablehlo.broadcast_in_dim %n33_wv, dims = [0] : (tensor<16xf32>) -> tensor<16x16xf32>
%n33_pr = stablehlo.subtract %n33_p, %n33_right : tensor<16x16xf32>
%n33_wide = stablehlo.subtract %n33_pr, %n33_smooth : tensor<16x16xf32>
%n33 = stablehlo.convert %n33_wide : (tensor<16x16xf32>) -> tensor<16x16xbf16>
%n34 = stablehlo.dot_general %n33, %n22, contracting_dims = [0] x [0] : (tensor<16x16xbf16>, tensor<16x64xbf16>) -> tensor<16x64xf32>
%n35 = stablehlo.dot_general %n33, %s14_bf16, contracting_dims = [1] x [0] : (tensor<16x16xbf16>, tensor<16x64xbf16>) -> tensor<16x64xbf16>
%n36 = "stablehlo.all_reduce"(%n35) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  %c = stablehlo.add %a, %b : tensor<bf16>
  stablehlo.return %c : tensor<bf16>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 8, type = 1>, use_global_device_ids} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%n21_f32 = stablehlo.convert %n21 : (tensor<16x64xbf16>) -> tensor<16x64xf32>
%n36_f32 = stablehlo.convert %n36 : (tensor<16x64xbf16>) -> tensor<16x64xf32>
%n37_q = stablehlo.multiply %n21_f32, %n21_f32 : tensor<16x64xf32>
%n37_s_init = stablehlo.constant dense<0.0> : tensor<f32>
%n37_s = stablehlo.reduce(%n37_q init: %n37_s_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
%n37_n = stablehlo.constant dense<6.400000000e+01> : tensor<16xf32>
%n37_m = stablehlo.divide %n37_s, %n37_n : tensor<16xf32>
%n37_e = stablehlo.constant dense<9.999999975e-07> : tensor<16xf32>
%n37_a = stablehlo.add %n37_m, %n37_e : tensor<16xf32>
%n37_r = stablehlo.rsqrt %n37_a : tensor<16xf32>
%n37_b = stablehlo.broadcast_in_dim %n37_r, dims = [0] : (tensor<16xf32>) -> tensor<16x64xf32>
%n37_h = stablehlo.multiply %n21_f32, %n37_b : tensor<16x64xf32>
%n37_g = stablehlo.broadcast_in_dim %s13, dims = [1] : (tensor<64xf32>) -> tensor<16x64xf32>
%n37_w = stablehlo.multiply %n36_f32, %n37_g : tensor<16x64xf32>
%n37_wh = stablehlo.multiply %n37_w, %n37_h : tensor<16x64xf32>
%n37_t_init = stablehlo.constant dense<0.0> : tensor<f32>
%n37_t = stablehlo.reduce(%n37_wh init: %n37_t_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
%n37_c = stablehlo.divide %n37_t, %n37_n : tensor<16xf32>
%n37_cb = stablehlo.broadcast_in_dim %n37_c, dims = [0] : (tensor<16xf32>) -> tensor<16x64xf32>
%n37_hc = stablehlo.multiply %n37_h, %n37_cb : tensor<16x64xf32>
%n37_d = stablehlo.subtract %n37_w, %n37_hc : tensor<16x64xf32>
%n37_wide = stablehlo.multiply %n37_b, %n37_d : tensor<16x64xf32>
%n37 = stablehlo.convert %n37_wide : (tensor<16x64xf32>) -> tensor<16x64xbf16>
%n37_r1 = stablehlo.reshape %n37_r : (tensor<16xf32>) -> tensor<16xf32>
%n38_p = stablehlo.multiply %n21_f32, %n36_f32 : tensor<16x64xf32>
%n38_rb = stablehlo.broadcast_in_dim %n37_r1, dims = [0] : (tensor<16xf32>) -> tensor<16x64xf32>
%n38_q = stablehlo.multiply %n38_p, %n38_rb : tensor<16x64xf32>
%n38_init = stablehlo.constant dense<0.0> : tensor<f32>
%n38 = stablehlo.reduce(%n38_q init: %n38_init) applies stablehlo.add across dimensions = [0] : (tensor<16x64xf32>, tensor<f32>) -> tensor<64xf32>
%n40 = stablehlo.reshape %n37 : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%n41 = stablehlo.dot_general %n40, %n17, contracting_dims = [0] x [0] : (tensor<16x64xbf16>, tensor<16x32xbf16>) -> tensor<64x32xf32>
%n42 = stablehlo.dot_general %n40, %s12_bf16, contracting_dims = [1] x [0] : (tensor<16x64xbf16>, tensor<64x32xbf16>) -> tensor<16x32xbf16>
%n43_s = stablehlo.logistic %n15 : tensor<16x32xbf16>
%n43_1 = stablehlo.constant dense<1.000000000e+00> : tensor<16x32xbf16>
%n43_n = stablehlo.subtract %n43_1, %n43_s : tensor<16x32xbf16>
%n43_x = stablehlo.multiply %n15, %n43_n : tensor<16x32xbf16>
%n43_y = stablehlo.add %n43_1, %n43_x : tensor<16x32xbf16>
%n43_z = stablehlo.multiply %n43_s, %n43_y : tensor<16x32xbf16>
%n43_u = stablehlo.multiply %n42, %n16 : tensor<16x32xbf16>
%n43 = stablehlo.multiply %n43_u, %n43_z : tensor<16x32xbf16>
%n43_a = stablehlo.multiply %n15, %n43_s : tensor<16x32xbf16>
%n43_r1 = stablehlo.multiply %n42, %n43_a : tensor<16x32xbf16>
%n44 = stablehlo.dot_general %n43_r1, %n14, contracting_dims = [0] x [0] : (tensor<16x32xbf16>, tensor<16x64xbf16>) -> tensor<32x64xf32>
%n45 = stablehlo.dot_general %n43, %n14, contracting_dims = [0] x [0] : (tensor<16x32xbf16>, tensor<16x64xbf16>) -> tensor<32x64xf32>
%n46_p0 = stablehlo.dot_general %n43, %s10_bf16, contracting_dims = [1] x [0] : (tensor<16x32xbf16>, tensor<32x64xbf16>) -> tensor<16x64xbf16>
%n46_p1 = stablehlo.dot_general %n43_r1, %s11_bf16, contracting_dims = [1] x [0] : (tensor<16x32xbf16>, tensor<32x64xbf16>) -> tensor<16x64xbf16>
%n46 = stablehlo.add %n46_p0, %n46_p1 : tensor<16x64xbf16>
%n47 = "stablehlo.all_reduce"(%n46) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  %c = stablehlo.add %a, %b : tensor<bf16>
  stablehlo.return %c : tensor<bf16>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 9, type = 1>, use_global_device_ids} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%n13_f32 = stablehlo.convert %n13 : (tensor<16x64xbf16>) -> tensor<16x64xf32>
%n47_f32 = stablehlo.convert %n47 : (tensor<16x64xbf16>) -> tensor<16x64xf32>
%n48_q = stablehlo.multiply %n13_f32, %n13_f32 : tensor<16x64xf32>
%n48_s_init = stablehlo.constant dense<0.0> : tensor<f32>
%n48_s = stablehlo.reduce(%n48_q init: %n48_s_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
%n48_n = stablehlo.constant dense<6.400000000e+01> : tensor<16xf32>
%n48_m = stablehlo.divide %n48_s, %n48_n : tensor<16xf32>
%n48_e = stablehlo.constant dense<9.999999975e-07> : tensor<16xf32>
%n48_a = stablehlo.add %n48_m, %n48_e : tensor<16xf32>
%n48_r = stablehlo.rsqrt %n48_a : tensor<16xf32>
%n48_b = stablehlo.broadcast_in_dim %n48_r, dims = [0] : (tensor<16xf32>) -> tensor<16x64xf32>
%n48_h = stablehlo.multiply %n13_f32, %n48_b : tensor<16x64xf32>
%n48_g = stablehlo.broadcast_in_dim %s9, dims = [1] : (tensor<64xf32>) -> tensor<16x64xf32>
%n48_w = stablehlo.multiply %n47_f32, %n48_g : tensor<16x64xf32>
%n48_wh = stablehlo.multiply %n48_w, %n48_h : tensor<16x64xf32>
%n48_t_init = stablehlo.constant dense<0.0> : tensor<f32>
%n48_t = stablehlo.reduce(%n48_wh init: %n48_t_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
%n48_c = stablehlo.divide %n48_t, %n48_n : tensor<16xf32>
%n48_cb = stablehlo.broadcast_in_dim %n48_c, dims = [0] : (tensor<16xf32>) -> tensor<16x64xf32>
%n48_hc = stablehlo.multiply %n48_h, %n48_cb : tensor<16x64xf32>
%n48_d = stablehlo.subtract %n48_w, %n48_hc : tensor<16x64xf32>
%n48_wide = stablehlo.multiply %n48_b, %n48_d : tensor<16x64xf32>
%n48 = stablehlo.convert %n48_wide : (tensor<16x64xf32>) -> tensor<16x64xbf16>
%n48_r1 = stablehlo.reshape %n48_r : (tensor<16xf32>) -> tensor<16xf32>
%n49_p = stablehlo.multiply %n13_f32, %n47_f32 : tensor<16x64xf32>
%n49_rb = stablehlo.broadcast_in_dim %n48_r1, dims = [0] : (tensor<16xf32>) -> tensor<16x64xf32>
%n49_q = stablehlo.multiply %n49_p, %n49_rb : tensor<16x64xf32>
%n49_init = stablehlo.constant dense<0.0> : tensor<f32>
%n49 = stablehlo.reduce(%n49_q init: %n49_init) applies stablehlo.add across dimensions = [0] : (tensor<16x64xf32>, tensor<f32>) -> tensor<64xf32>
%n50 = stablehlo.add %n40, %n48 : tensor<16x64xbf16>
%n51 = stablehlo.dot_general %n50, %n10, contracting_dims = [0] x [0] : (tensor<16x64xbf16>, tensor<16x16xbf16>) -> tensor<64x16xf32>
%n52 = stablehlo.dot_general %n50, %s8_bf16, contracting_dims = [1] x [0] : (tensor<16x64xbf16>, tensor<64x16xbf16>) -> tensor<16x16xbf16>
%n53_q_rows = stablehlo.reshape %n9 : (tensor<16x16xbf16>) -> tensor<2x8x1x1x16xbf16>
%n53_q = stablehlo.transpose %n53_q_rows, dims = [0, 2, 3, 1, 4] : (tensor<2x8x1x1x16xbf16>) -> tensor<2x1x1x8x16xbf16>
%n53_k_rows = stablehlo.reshape %n7 : (tensor<16x16xbf16>) -> tensor<2x8x1x16xbf16>
%n53_k = stablehlo.transpose %n53_k_rows, dims = [0, 2, 1, 3] : (tensor<2x8x1x16xbf16>) -> tensor<2x1x8x16xbf16>
%n53_v_rows = stablehlo.reshape %n6 : (tensor<16x16xbf16>) -> tensor<2x8x1x16xbf16>
%n53_v = stablehlo.transpose %n53_v_rows, dims = [0, 2, 1, 3] : (tensor<2x8x1x16xbf16>) -> tensor<2x1x8x16xbf16>
%n53_dy_rows = stablehlo.reshape %n52 : (tensor<16x16xbf16>) -> tensor<2x8x1x1x16xbf16>
%n53_dy = stablehlo.transpose %n53_dy_rows, dims = [0, 2, 3, 1, 4] : (tensor<2x8x1x1x16xbf16>) -> tensor<2x1x1x8x16xbf16>
%n53_qk = stablehlo.dot_general %n53_q, %n53_k, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [3] : (tensor<2x1x1x8x16xbf16>, tensor<2x1x8x16xbf16>) -> tensor<2x1x1x8x8xf32>
%n53_scale = stablehlo.constant dense<2.500000000e-01> : tensor<2x1x1x8x8xf32>
%n53_score = stablehlo.multiply %n53_qk, %n53_scale : tensor<2x1x1x8x8xf32>
%n53_sees = stablehlo.broadcast_in_dim %sees0, dims = [0, 3, 4] : (tensor<2x8x8xf32>) -> tensor<2x1x1x8x8xf32>
%n53_masked = stablehlo.add %n53_score, %n53_sees : tensor<2x1x1x8x8xf32>
%n10_f32 = stablehlo.convert %n10 : (tensor<16x16xbf16>) -> tensor<16x16xf32>
%n52_f32 = stablehlo.convert %n52 : (tensor<16x16xbf16>) -> tensor<16x16xf32>
%n53_dyo = stablehlo.multiply %n52_f32, %n10_f32 : tensor<16x16xf32>
%n53_dyo5 = stablehlo.reshape %n53_dyo : (tensor<16x16xf32>) -> tensor<2x8x1x1x16xf32>
%n53_dt_init = stablehlo.constant dense<0.0> : tensor<f32>
%n53_dt = stablehlo.reduce(%n53_dyo5 init: %n53_dt_init) applies stablehlo.add across dimensions = [4] : (tensor<2x8x1x1x16xf32>, tensor<f32>) -> tensor<2x8x1x1xf32>
%n53_D = stablehlo.transpose %n53_dt, dims = [0, 2, 3, 1] : (tensor<2x8x1x1xf32>) -> tensor<2x1x1x8xf32>
%n53_l4 = stablehlo.reshape %n10_r1 : (tensor<16x1xf32>) -> tensor<2x8x1x1xf32>
%n53_lse = stablehlo.transpose %n53_l4, dims = [0, 2, 3, 1] : (tensor<2x8x1x1xf32>) -> tensor<2x1x1x8xf32>
%n53_lb = stablehlo.broadcast_in_dim %n53_lse, dims = [0, 1, 2, 3] : (tensor<2x1x1x8xf32>) -> tensor<2x1x1x8x8xf32>
%n53_x = stablehlo.subtract %n53_masked, %n53_lb : tensor<2x1x1x8x8xf32>
%n53_p = stablehlo.exponential %n53_x : tensor<2x1x1x8x8xf32>
%n53_p_bf16 = stablehlo.convert %n53_p : (tensor<2x1x1x8x8xf32>) -> tensor<2x1x1x8x8xbf16>
%n53_dv = stablehlo.dot_general %n53_p_bf16, %n53_dy, batching_dims = [0, 1, 2] x [0, 1, 2], contracting_dims = [3] x [3] : (tensor<2x1x1x8x8xbf16>, tensor<2x1x1x8x16xbf16>) -> tensor<2x1x1x8x16xbf16>
%n53_dp = stablehlo.dot_general %n53_dy, %n53_v, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [3] : (tensor<2x1x1x8x16xbf16>, tensor<2x1x8x16xbf16>) -> tensor<2x1x1x8x8xf32>
%n53_db = stablehlo.broadcast_in_dim %n53_D, dims = [0, 1, 2, 3] : (tensor<2x1x1x8xf32>) -> tensor<2x1x1x8x8xf32>
%n53_pd = stablehlo.subtract %n53_dp, %n53_db : tensor<2x1x1x8x8xf32>
%n53_ps = stablehlo.multiply %n53_p, %n53_pd : tensor<2x1x1x8x8xf32>
%n53_ds = stablehlo.multiply %n53_ps, %n53_scale : tensor<2x1x1x8x8xf32>
%n53_ds_bf16 = stablehlo.convert %n53_ds : (tensor<2x1x1x8x8xf32>) -> tensor<2x1x1x8x8xbf16>
%n53_dq = stablehlo.dot_general %n53_ds_bf16, %n53_k, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [2] : (tensor<2x1x1x8x8xbf16>, tensor<2x1x8x16xbf16>) -> tensor<2x1x1x8x16xbf16>
%n53_dk = stablehlo.dot_general %n53_ds_bf16, %n53_q, batching_dims = [0, 1, 2] x [0, 1, 2], contracting_dims = [3] x [3] : (tensor<2x1x1x8x8xbf16>, tensor<2x1x1x8x16xbf16>) -> tensor<2x1x1x8x16xbf16>
%n53_turned = stablehlo.transpose %n53_dq, dims = [0, 3, 1, 2, 4] : (tensor<2x1x1x8x16xbf16>) -> tensor<2x8x1x1x16xbf16>
%n53 = stablehlo.reshape %n53_turned : (tensor<2x8x1x1x16xbf16>) -> tensor<16x16xbf16>
%n53_r1_turned = stablehlo.transpose %n53_dk, dims = [0, 3, 1, 2, 4] : (tensor<2x1x1x8x16xbf16>) -> tensor<2x8x1x1x16xbf16>
%n53_r1 = stablehlo.reshape %n53_r1_turned : (tensor<2x8x1x1x16xbf16>) -> tensor<16x16xbf16>
%n53_r2_turned = stablehlo.transpose %n53_dv, dims = [0, 3, 1, 2, 4] : (tensor<2x1x1x8x16xbf16>) -> tensor<2x8x1x1x16xbf16>
%n53_r2 = stablehlo.reshape %n53_r2_turned : (tensor<2x8x1x1x16xbf16>) -> tensor<16x16xbf16>
%n54_h = stablehlo.reshape %n53_r1 : (tensor<16x16xbf16>) -> tensor<16x1x1x16xbf16>
%n54_s_init = stablehlo.constant dense<0.0> : tensor<bf16>
%n54_s = stablehlo.reduce(%n54_h init: %n54_s_init) applies stablehlo.add across dimensions = [2] : (tensor<16x1x1x16xbf16>, tensor<bf16>) -> tensor<16x1x16xbf16>
%n54 = stablehlo.reshape %n54_s : (tensor<16x1x16xbf16>) -> tensor<16x16xbf16>
%place_8_1 = stablehlo.slice %shard [8:9] : (tensor<9xi32>) -> tensor<1xi32>
%place_8 = stablehlo.reshape %place_8_1 : (tensor<1xi32>) -> tensor<i32>
%slot_1_2_16x16_n = stablehlo.constant dense<2> : tensor<i32>
%slot_1_2_16x16_r = stablehlo.remainder %place_8, %slot_1_2_16x16_n : tensor<i32>
%slot_1_2_16x16_b = stablehlo.broadcast_in_dim %slot_1_2_16x16_r, dims = [] : (tensor<i32>) -> tensor<2x16x16xi32>
%slot_1_2_16x16_i = stablehlo.iota dim = 0 : tensor<2x16x16xi32>
%slot_1_2_16x16 = stablehlo.compare EQ, %slot_1_2_16x16_i, %slot_1_2_16x16_b, SIGNED : (tensor<2x16x16xi32>, tensor<2x16x16xi32>) -> tensor<2x16x16xi1>
%slot_1_2_16x16_0 = stablehlo.constant dense<0.0> : tensor<2x16x16xbf16>
%n55_s = stablehlo.broadcast_in_dim %n54, dims = [1, 2] : (tensor<16x16xbf16>) -> tensor<2x16x16xbf16>
%n55_t = stablehlo.select %slot_1_2_16x16, %n55_s, %slot_1_2_16x16_0 : tensor<2x16x16xi1>, tensor<2x16x16xbf16>
%n55_u = "stablehlo.all_reduce"(%n55_t) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  %c = stablehlo.add %a, %b : tensor<bf16>
  stablehlo.return %c : tensor<bf16>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 10, type = 1>, use_global_device_ids} : (tensor<2x16x16xbf16>) -> tensor<2x16x16xbf16>
%n55_v = stablehlo.select %slot_1_2_16x16, %n55_u, %slot_1_2_16x16_0 : tensor<2x16x16xi1>, tensor<2x16x16xbf16>
%n55_z = stablehlo.constant dense<0.0> : tensor<bf16>
%n55 = stablehlo.reduce(%n55_v init: %n55_z) applies stablehlo.add across dimensions = [0] : (tensor<2x16x16xbf16>, tensor<bf16>) -> tensor<16x16xbf16>
%n56_h = stablehlo.reshape %n53_r2 : (tensor<16x16xbf16>) -> tensor<16x1x1x16xbf16>
%n56_s_init = stablehlo.constant dense<0.0> : tensor<bf16>
%n56_s = stablehlo.reduce(%n56_h init: %n56_s_init) applies stablehlo.add across dimensions = [2] : (tensor<16x1x1x16xbf16>, tensor<bf16>) -> tensor<16x1x16xbf16>
%n56 = stablehlo.reshape %n56_s : (tensor<16x1x16xbf16>) -> tensor<16x16xbf16>
%n57_s = stablehlo.broadcast_in_dim %n56, dims = [1, 2] : (tensor<16x16xbf16>) -> tensor<2x16x16xbf16>
%n57_t = stablehlo.select %slot_1_2_16x16, %n57_s, %slot_1_2_16x16_0 : tensor<2x16x16xi1>, tensor<2x16x16xbf16>
%n57_u = "stablehlo.all_reduce"(%n57_t) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  %c = stablehlo.add %a, %b : tensor<bf16>
  stablehlo.return %c : tensor<bf16>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 11, type = 1>, use_global_device_ids} : (tensor<2x16x16xbf16>) -> tensor<2x16x16xbf16>
%n57_v = stablehlo.select %slot_1_2_16x16, %n57_u, %slot_1_2_16x16_0 : tensor<2x16x16xi1>, tensor<2x16x16xbf16>
%n57_z = stablehlo.constant dense<0.0> : tensor<bf16>
%n57 = stablehlo.reduce(%n57_v init: %n57_z) applies stablehlo.add across dimensions = [0] : (tensor<2x16x16xbf16>, tensor<bf16>) -> tensor<16x16xbf16>
%x1_cos1_s = stablehlo.slice %x1 [0:16, 0:8] : (tensor<16x16xbf16>) -> tensor<16x8xbf16>
%x1_cos1 = stablehlo.broadcast_in_dim %x1_cos1_s, dims = [0, 2] : (tensor<16x8xbf16>) -> tensor<16x1x8xbf16>
%x1_sin1_s = stablehlo.slice %x1 [0:16, 8:16] : (tensor<16x16xbf16>) -> tensor<16x8xbf16>
%x1_sin1 = stablehlo.broadcast_in_dim %x1_sin1_s, dims = [0, 2] : (tensor<16x8xbf16>) -> tensor<16x1x8xbf16>
%n58_x = stablehlo.reshape %n53 : (tensor<16x16xbf16>) -> tensor<16x1x16xbf16>
%n58_l = stablehlo.slice %n58_x [0:16, 0:1, 0:8] : (tensor<16x1x16xbf16>) -> tensor<16x1x8xbf16>
%n58_r = stablehlo.slice %n58_x [0:16, 0:1, 8:16] : (tensor<16x1x16xbf16>) -> tensor<16x1x8xbf16>
%n58_lc = stablehlo.multiply %n58_l, %x1_cos1 : tensor<16x1x8xbf16>
%n58_rs = stablehlo.multiply %n58_r, %x1_sin1 : tensor<16x1x8xbf16>
%n58_rc = stablehlo.multiply %n58_r, %x1_cos1 : tensor<16x1x8xbf16>
%n58_ls = stablehlo.multiply %n58_l, %x1_sin1 : tensor<16x1x8xbf16>
%n58_a = stablehlo.subtract %n58_lc, %n58_rs : tensor<16x1x8xbf16>
%n58_b = stablehlo.add %n58_rc, %n58_ls : tensor<16x1x8xbf16>
%n58_y = stablehlo.concatenate %n58_a, %n58_b, dim = 2 : (tensor<16x1x8xbf16>, tensor<16x1x8xbf16>) -> tensor<16x1x16xbf16>
%n58 = stablehlo.reshape %n58_y : (tensor<16x1x16xbf16>) -> tensor<16x16xbf16>
%n59_x = stablehlo.reshape %n55 : (tensor<16x16xbf16>) -> tensor<16x1x16xbf16>
%n59_l = stablehlo.slice %n59_x [0:16, 0:1, 0:8] : (tensor<16x1x16xbf16>) -> tensor<16x1x8xbf16>
%n59_r = stablehlo.slice %n59_x [0:16, 0:1, 8:16] : (tensor<16x1x16xbf16>) -> tensor<16x1x8xbf16>
%n59_lc = stablehlo.multiply %n59_l, %x1_cos1 : tensor<16x1x8xbf16>
%n59_rs = stablehlo.multiply %n59_r, %x1_sin1 : tensor<16x1x8xbf16>
%n59_rc = stablehlo.multiply %n59_r, %x1_cos1 : tensor<16x1x8xbf16>
%n59_ls = stablehlo.multiply %n59_l, %x1_sin1 : tensor<16x1x8xbf16>
%n59_a = stablehlo.subtract %n59_lc, %n59_rs : tensor<16x1x8xbf16>
%n59_b = stablehlo.add %n59_rc, %n59_ls : tensor<16x1x8xbf16>
%n59_y = stablehlo.concatenate %n59_a, %n59_b, dim = 2 : (tensor<16x1x8xbf16>, tensor<16x1x8xbf16>) -> tensor<16x1x16xbf16>
%n59 = stablehlo.reshape %n59_y : (tensor<16x1x16xbf16>) -> tensor<16x16xbf16>
%n60 = stablehlo.dot_general %n57, %n3, contracting_dims = [0] x [0] : (tensor<16x16xbf16>, tensor<16x64xbf16>) -> tensor<16x64xf32>
%n57_f32 = stablehlo.convert %n57 : (tensor<16x16xbf16>) -> tensor<16x16xf32>
%n61_init = stablehlo.constant dense<0.0> : tensor<f32>
%n61 = stablehlo.reduce(%n57_f32 init: %n61_init) applies stablehlo.add across dimensions = [0] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n62 = stablehlo.dot_general %n59, %n3, contracting_dims = [0] x [0] : (tensor<16x16xbf16>, tensor<16x64xbf16>) -> tensor<16x64xf32>
%n59_f32 = stablehlo.convert %n59 : (tensor<16x16xbf16>) -> tensor<16x16xf32>
%n63_init = stablehlo.constant dense<0.0> : tensor<f32>
%n63 = stablehlo.reduce(%n59_f32 init: %n63_init) applies stablehlo.add across dimensions = [0] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n64 = stablehlo.dot_general %n58, %n3, contracting_dims = [0] x [0] : (tensor<16x16xbf16>, tensor<16x64xbf16>) -> tensor<16x64xf32>
%n58_f32 = stablehlo.convert %n58 : (tensor<16x16xbf16>) -> tensor<16x16xf32>
%n65_init = stablehlo.constant dense<0.0> : tensor<f32>
%n65 = stablehlo.reduce(%n58_f32 init: %n65_init) applies stablehlo.add across dimensions = [0] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n66_p0 = stablehlo.dot_general %n58, %s2_bf16, contracting_dims = [1] x [0] : (tensor<16x16xbf16>, tensor<16x64xbf16>) -> tensor<16x64xbf16>
%place_6_1 = stablehlo.slice %shard [6:7] : (tensor<9xi32>) -> tensor<1xi32>
%place_6 = stablehlo.reshape %place_6_1 : (tensor<1xi32>) -> tensor<i32>
%first_16x16_g = stablehlo.broadcast_in_dim %place_6, dims = [] : (tensor<i32>) -> tensor<16x16xi32>
%first_16x16_0 = stablehlo.constant dense<0> : tensor<16x16xi32>
%first_16x16 = stablehlo.compare EQ, %first_16x16_g, %first_16x16_0, SIGNED : (tensor<16x16xi32>, tensor<16x16xi32>) -> tensor<16x16xi1>
%n66_o1_z = stablehlo.constant dense<0.000000000e+00> : tensor<16x16xbf16>
%n66_o1 = stablehlo.select %first_16x16, %n59, %n66_o1_z : tensor<16x16xi1>, tensor<16x16xbf16>
%n66_p1 = stablehlo.dot_general %n66_o1, %s4_bf16, contracting_dims = [1] x [0] : (tensor<16x16xbf16>, tensor<16x64xbf16>) -> tensor<16x64xbf16>
%n66_s1 = stablehlo.add %n66_p0, %n66_p1 : tensor<16x64xbf16>
%n66_o2_z = stablehlo.constant dense<0.000000000e+00> : tensor<16x16xbf16>
%n66_o2 = stablehlo.select %first_16x16, %n57, %n66_o2_z : tensor<16x16xi1>, tensor<16x16xbf16>
%n66_p2 = stablehlo.dot_general %n66_o2, %s6_bf16, contracting_dims = [1] x [0] : (tensor<16x16xbf16>, tensor<16x64xbf16>) -> tensor<16x64xbf16>
%n66 = stablehlo.add %n66_s1, %n66_p2 : tensor<16x64xbf16>
%n67 = "stablehlo.all_reduce"(%n66) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  %c = stablehlo.add %a, %b : tensor<bf16>
  stablehlo.return %c : tensor<bf16>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 12, type = 1>, use_global_device_ids} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%n2_f32 = stablehlo.convert %n2 : (tensor<16x64xbf16>) -> tensor<16x64xf32>
%n67_f32 = stablehlo.convert %n67 : (tensor<16x64xbf16>) -> tensor<16x64xf32>
%n68_q = stablehlo.multiply %n2_f32, %n2_f32 : tensor<16x64xf32>
%n68_s_init = stablehlo.constant dense<0.0> : tensor<f32>
%n68_s = stablehlo.reduce(%n68_q init: %n68_s_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
%n68_n = stablehlo.constant dense<6.400000000e+01> : tensor<16xf32>
%n68_m = stablehlo.divide %n68_s, %n68_n : tensor<16xf32>
%n68_e = stablehlo.constant dense<9.999999975e-07> : tensor<16xf32>
%n68_a = stablehlo.add %n68_m, %n68_e : tensor<16xf32>
%n68_r = stablehlo.rsqrt %n68_a : tensor<16xf32>
%n68_b = stablehlo.broadcast_in_dim %n68_r, dims = [0] : (tensor<16xf32>) -> tensor<16x64xf32>
%n68_h = stablehlo.multiply %n2_f32, %n68_b : tensor<16x64xf32>
%n68_g = stablehlo.broadcast_in_dim %s1, dims = [1] : (tensor<64xf32>) -> tensor<16x64xf32>
%n68_w = stablehlo.multiply %n67_f32, %n68_g : tensor<16x64xf32>
%n68_wh = stablehlo.multiply %n68_w, %n68_h : tensor<16x64xf32>
%n68_t_init = stablehlo.constant dense<0.0> : tensor<f32>
%n68_t = stablehlo.reduce(%n68_wh init: %n68_t_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
%n68_c = stablehlo.divide %n68_t, %n68_n : tensor<16xf32>
%n68_cb = stablehlo.broadcast_in_dim %n68_c, dims = [0] : (tensor<16xf32>) -> tensor<16x64xf32>
%n68_hc = stablehlo.multiply %n68_h, %n68_cb : tensor<16x64xf32>
%n68_d = stablehlo.subtract %n68_w, %n68_hc : tensor<16x64xf32>
%n68_wide = stablehlo.multiply %n68_b, %n68_d : tensor<16x64xf32>
%n68 = stablehlo.convert %n68_wide : (tensor<16x64xf32>) -> tensor<16x64xbf16>
%n68_r1 = stablehlo.reshape %n68_r : (tensor<16xf32>) -> tensor<16xf32>
%n69_p = stablehlo.multiply %n2_f32, %n67_f32 : tensor<16x64xf32>
%n69_rb = stablehlo.broadcast_in_dim %n68_r1, dims = [0] : (tensor<16xf32>) -> tensor<16x64xf32>
%n69_q = stablehlo.multiply %n69_p, %n69_rb : tensor<16x64xf32>
%n69_init = stablehlo.constant dense<0.0> : tensor<f32>
%n69 = stablehlo.reduce(%n69_q init: %n69_init) applies stablehlo.add across dimensions = [0] : (tensor<16x64xf32>, tensor<f32>) -> tensor<64xf32>
%n70 = stablehlo.add %n50, %n68 : tensor<16x64xbf16>
%n70_f32 = stablehlo.convert %n70 : (tensor<16x64xbf16>) -> tensor<16x64xf32>
%scalar_19_1 = stablehlo.slice %scalars [19:20] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_19 = stablehlo.reshape %scalar_19_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_19_16x64xf32 = stablehlo.broadcast_in_dim %scalar_19, dims = [] : (tensor<f32>) -> tensor<16x64xf32>
%n71_o = stablehlo.broadcast_in_dim %tokens_own, dims = [0] : (tensor<16xi1>) -> tensor<16x64xi1>
%n71_z = stablehlo.constant dense<0.000000000e+00> : tensor<16x64xf32>
%n71_y = stablehlo.select %n71_o, %n70_f32, %n71_z : tensor<16x64xi1>, tensor<16x64xf32>
%n71_i = stablehlo.reshape %tokens_row : (tensor<16xi32>) -> tensor<16x1xi32>
%n71 = "stablehlo.scatter"(%scalar_19_16x64xf32, %n71_i, %n71_y) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false} : (tensor<16x64xf32>, tensor<16x1xi32>, tensor<16x64xf32>) -> tensor<16x64xf32>
%n72 = "stablehlo.all_reduce"(%n71) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 13, type = 1>, use_global_device_ids} : (tensor<16x64xf32>) -> tensor<16x64xf32>
%n73_q = stablehlo.multiply %n72, %n72 : tensor<16x64xf32>
%n73_init = stablehlo.constant dense<0.0> : tensor<f32>
%n73 = stablehlo.reduce(%n73_q init: %n73_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
%n74 = "stablehlo.all_reduce"(%n69) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 14, type = 1>, use_global_device_ids} : (tensor<64xf32>) -> tensor<64xf32>
%n75 = stablehlo.multiply %n74, %n74 : tensor<64xf32>
%n76 = "stablehlo.all_reduce"(%n65) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 15, type = 1>, use_global_device_ids} : (tensor<16xf32>) -> tensor<16xf32>
%n77 = stablehlo.multiply %n76, %n76 : tensor<16xf32>
%n78 = "stablehlo.all_reduce"(%n64) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 16, type = 1>, use_global_device_ids} : (tensor<16x64xf32>) -> tensor<16x64xf32>
%n79_q = stablehlo.multiply %n78, %n78 : tensor<16x64xf32>
%n79_init = stablehlo.constant dense<0.0> : tensor<f32>
%n79 = stablehlo.reduce(%n79_q init: %n79_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
%n80 = "stablehlo.all_reduce"(%n63) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 17, type = 1>, use_global_device_ids} : (tensor<16xf32>) -> tensor<16xf32>
%n81 = stablehlo.multiply %n80, %n80 : tensor<16xf32>
%n82 = "stablehlo.all_reduce"(%n62) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 18, type = 1>, use_global_device_ids} : (tensor<16x64xf32>) -> tensor<16x64xf32>
%n83_q = stablehlo.multiply %n82, %n82 : tensor<16x64xf32>
%n83_init = stablehlo.constant dense<0.0> : tensor<f32>
%n83 = stablehlo.reduce(%n83_q init: %n83_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
%n84 = "stablehlo.all_reduce"(%n61) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 19, type = 1>, use_global_device_ids} : (tensor<16xf32>) -> tensor<16xf32>
%n85 = stablehlo.multiply %n84, %n84 : tensor<16xf32>
%n86 = "stablehlo.all_reduce"(%n60) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 20, type = 1>, use_global_device_ids} : (tensor<16x64xf32>) -> tensor<16x64xf32>
%n87_q = stablehlo.multiply %n86, %n86 : tensor<16x64xf32>
%n87_init = stablehlo.constant dense<0.0> : tensor<f32>
%n87 = stablehlo.reduce(%n87_q init: %n87_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
%n88 = "stablehlo.all_reduce"(%n51) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 21, type = 1>, use_global_device_ids} : (tensor<64x16xf32>) -> tensor<64x16xf32>
%n89_q = stablehlo.multiply %n88, %n88 : tensor<64x16xf32>
%n89_init = stablehlo.constant dense<0.0> : tensor<f32>
%n89 = stablehlo.reduce(%n89_q init: %n89_init) applies stablehlo.add across dimensions = [1] : (tensor<64x16xf32>, tensor<f32>) -> tensor<64xf32>
%n90 = "stablehlo.all_reduce"(%n89) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 22, type = 1>, use_global_device_ids} : (tensor<64xf32>) -> tensor<64xf32>
%n91 = "stablehlo.all_reduce"(%n49) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 23, type = 1>, use_global_device_ids} : (tensor<64xf32>) -> tensor<64xf32>
%n92 = stablehlo.multiply %n91, %n91 : tensor<64xf32>
%n93 = "stablehlo.all_reduce"(%n45) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 24, type = 1>, use_global_device_ids} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%n94_q = stablehlo.multiply %n93, %n93 : tensor<32x64xf32>
%n94_init = stablehlo.constant dense<0.0> : tensor<f32>
%n94 = stablehlo.reduce(%n94_q init: %n94_init) applies stablehlo.add across dimensions = [1] : (tensor<32x64xf32>, tensor<f32>) -> tensor<32xf32>
%n95 = "stablehlo.all_reduce"(%n44) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 25, type = 1>, use_global_device_ids} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%n96_q = stablehlo.multiply %n95, %n95 : tensor<32x64xf32>
%n96_init = stablehlo.constant dense<0.0> : tensor<f32>
%n96 = stablehlo.reduce(%n96_q init: %n96_init) applies stablehlo.add across dimensions = [1] : (tensor<32x64xf32>, tensor<f32>) -> tensor<32xf32>
%n97 = "stablehlo.all_reduce"(%n41) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 26, type = 1>, use_global_device_ids} : (tensor<64x32xf32>) -> tensor<64x32xf32>
%n98_q = stablehlo.multiply %n97, %n97 : tensor<64x32xf32>
%n98_init = stablehlo.constant dense<0.0> : tensor<f32>
%n98 = stablehlo.reduce(%n98_q init: %n98_init) applies stablehlo.add across dimensions = [1] : (tensor<64x32xf32>, tensor<f32>) -> tensor<64xf32>
%n99 = "stablehlo.all_reduce"(%n98) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 27, type = 1>, use_global_device_ids} : (tensor<64xf32>) -> tensor<64xf32>
%n100 = "stablehlo.all_reduce"(%n38) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 28, type = 1>, use_global_device_ids} : (tensor<64xf32>) -> tensor<64xf32>
%n101 = stablehlo.multiply %n100, %n100 : tensor<64xf32>
%n102 = "stablehlo.all_reduce"(%n34) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 29, type = 1>, use_global_device_ids} : (tensor<16x64xf32>) -> tensor<16x64xf32>
%n103_q = stablehlo.multiply %n102, %n102 : tensor<16x64xf32>
%n103_init = stablehlo.constant dense<0.0> : tensor<f32>
%n103 = stablehlo.reduce(%n103_q init: %n103_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
sdy.return %n32, %n73, %n75, %n77, %n79, %n81, %n83, %n85, %n87, %n90, %n92, %n94, %n96, %n99, %n101, %n103, %n102, %n100, %n97, %n95, %n93, %n91, %n88, %n86, %n84, %n82, %n80, %n78, %n76, %n74, %n72 : tensor<16xf32>, tensor<16xf32>, tensor<64xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<64xf32>, tensor<64xf32>, tensor<32xf32>, tensor<32xf32>, tensor<64xf32>, tensor<64xf32>, tensor<16xf32>, tensor<16x64xf32>, tensor<64xf32>, tensor<64x32xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64xf32>, tensor<64x16xf32>, tensor<16x64xf32>, tensor<16xf32>, tensor<16x64xf32>, tensor<16xf32>, tensor<16x64xf32>, tensor<16xf32>, tensor<64xf32>, tensor<16x64xf32>
} : (tensor<32xi32>, tensor<32xi32>, tensor<32xi32>, tensor<20xf32>, tensor<32x16xbf16>, tensor<32x16xbf16>, tensor<72xi32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>, tensor<64xf32>, tensor<64x64xf32>) -> (tensor<32xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<128xf32>, tensor<128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<128x64xf32>, tensor<128xf32>, tensor<128x128xf32>, tensor<256x64xf32>, tensor<256x64xf32>, tensor<128xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<128xf32>, tensor<128x64xf32>, tensor<128xf32>, tensor<128x64xf32>, tensor<128xf32>, tensor<128xf32>, tensor<128x64xf32>)
return %R#0, %R#1, %R#2, %R#3, %R#4, %R#5, %R#6, %R#7, %R#8, %R#9, %R#10, %R#11, %R#12, %R#13, %R#14, %R#15, %R#16, %R#17, %R#18, %R#19, %R#20, %R#21, %R#22, %R#23, %R#24, %R#25, %R#26, %R#27, %R#28, %R#29, %R#30 : tensor<32xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<128xf32>, tensor<128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<128x64xf32>, tensor<128xf32>, tensor<128x128xf32>, tensor<256x64xf32>, tensor<256x64xf32>, tensor<128xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<128xf32>, tensor<128x64xf32>, tensor<128xf32>, tensor<128x64xf32>, tensor<128xf32>, tensor<128xf32>, tensor<128x64xf32>
}
func.func private @rms_norm_16x64(%x: tensor<16x64xbf16>, %gain: tensor<64xbf16>) -> tensor<16x64xbf16> {
  %f = stablehlo.convert %x : (tensor<16x64xbf16>) -> tensor<16x64xf32>
  %g = stablehlo.convert %gain : (tensor<64xbf16>) -> tensor<64xf32>
  %s = stablehlo.multiply %f, %f : tensor<16x64xf32>
  %z = stablehlo.constant dense<0.0> : tensor<f32>
  %m = stablehlo.reduce(%s init: %z) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
  %d = stablehlo.constant dense<64.0> : tensor<16xf32>
  %e = stablehlo.constant dense<9.999999975e-07> : tensor<16xf32>
  %a = stablehlo.divide %m, %d : tensor<16xf32>
  %b = stablehlo.add %a, %e : tensor<16xf32>
  %r = stablehlo.rsqrt %b : tensor<16xf32>
  %rb = stablehlo.broadcast_in_dim %r, dims = [0] : (tensor<16xf32>) -> tensor<16x64xf32>
  %gb = stablehlo.broadcast_in_dim %g, dims = [1] : (tensor<64xf32>) -> tensor<16x64xf32>
  %y = stablehlo.multiply %f, %rb : tensor<16x64xf32>
  %w = stablehlo.multiply %y, %gb : tensor<16x64xf32>
  %o = stablehlo.convert %w : (tensor<16x64xf32>) -> tensor<16x64xbf16>
  return %o : tensor<16x64xbf16>
}
}
