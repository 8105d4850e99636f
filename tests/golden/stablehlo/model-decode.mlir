module @qwenmesh attributes {mhlo.num_partitions = 8 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=2, "y"=4]>
func.func public @main(%g_n5: tensor<2x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_n6: tensor<2x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_index: tensor<2xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_shard: tensor<72xi32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    %g_w7: tensor<64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_w10s: tensor<128x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w9s: tensor<128xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    %g_w13s: tensor<128x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w12s: tensor<128xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    %g_w16s: tensor<128x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w15s: tensor<128xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    %g_w22s: tensor<64x128xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>},
    %g_w26: tensor<64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_w28s: tensor<256x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w30s: tensor<256x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w32s: tensor<64x256xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>},
    %g_w37: tensor<64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_w40s: tensor<128x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_k0: tensor<2x8x64x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>, tf.aliasing_output = 2 : i32},
    %g_v0: tensor<2x8x64x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>, tf.aliasing_output = 3 : i32}) -> (tensor<2x128xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>},
    tensor<2x16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    tensor<2x8x64x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>},
    tensor<2x8x64x16xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}, {}, {}]>}) {
%R:4 = sdy.manual_computation(%g_n5, %g_n6, %g_index, %g_shard, %g_w7, %g_w10s, %g_w9s, %g_w13s, %g_w12s, %g_w16s, %g_w15s, %g_w22s, %g_w26, %g_w28s, %g_w30s, %g_w32s, %g_w37, %g_w40s, %g_k0, %g_v0)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}]>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}]>, <@mesh, [{}, {"x", "y"}]>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{}, {"x", "y"}]>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>]
  out_shardings=[<@mesh, [{}, {"x", "y"}]>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {"x", "y"}, {}, {}]>, <@mesh, [{}, {"x", "y"}, {}, {}]>]
  manual_axes={"x", "y"} (%n5: tensor<2x16xbf16>, %n6: tensor<2x64xbf16>, %index: tensor<2xi32>, %shard: tensor<9xi32>, %w7_in: tensor<64xbf16>, %w10s_in: tensor<16x64xbf16>, %w9s_in: tensor<16xbf16>, %w13s_in: tensor<16x64xbf16>, %w12s_in: tensor<16xbf16>, %w16s_in: tensor<16x64xbf16>, %w15s_in: tensor<16xbf16>, %w22s_in: tensor<64x16xbf16>, %w26_in: tensor<64xbf16>, %w28s_in: tensor<32x64xbf16>, %w30s_in: tensor<32x64xbf16>, %w32s_in: tensor<64x32xbf16>, %w37_in: tensor<64xbf16>, %w40s_in: tensor<16x64xbf16>, %k0: tensor<2x1x64x16xbf16>, %v0: tensor<2x1x64x16xbf16>) {
%w7 = func.call @tt.mark_4(%w7_in) {ttcore.argument_type = "parameter"} : (tensor<64xbf16>) -> tensor<64xbf16>
%w10s = func.call @tt.mark_5(%w10s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%w9s = func.call @tt.mark_6(%w9s_in) {ttcore.argument_type = "parameter"} : (tensor<16xbf16>) -> tensor<16xbf16>
%w13s = func.call @tt.mark_5(%w13s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%w12s = func.call @tt.mark_6(%w12s_in) {ttcore.argument_type = "parameter"} : (tensor<16xbf16>) -> tensor<16xbf16>
%w16s = func.call @tt.mark_5(%w16s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%w15s = func.call @tt.mark_6(%w15s_in) {ttcore.argument_type = "parameter"} : (tensor<16xbf16>) -> tensor<16xbf16>
%w22s = func.call @tt.mark_11(%w22s_in) {ttcore.argument_type = "parameter"} : (tensor<64x16xbf16>) -> tensor<64x16xbf16>
%w26 = func.call @tt.mark_4(%w26_in) {ttcore.argument_type = "parameter"} : (tensor<64xbf16>) -> tensor<64xbf16>
%w28s = func.call @tt.mark_13(%w28s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xbf16>) -> tensor<32x64xbf16>
%w30s = func.call @tt.mark_13(%w30s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xbf16>) -> tensor<32x64xbf16>
%w32s = func.call @tt.mark_15(%w32s_in) {ttcore.argument_type = "parameter"} : (tensor<64x32xbf16>) -> tensor<64x32xbf16>
%w37 = func.call @tt.mark_4(%w37_in) {ttcore.argument_type = "parameter"} : (tensor<64xbf16>) -> tensor<64xbf16>
%w40s = func.call @tt.mark_5(%w40s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%n8 = stablehlo.composite "tenstorrent.rms_norm" %n6, %w7 {composite_attributes = {epsilon = 9.999999975e-07 : f32, normalized_shape = dense<[64]> : tensor<1xi64>}, decomposition = @rms_norm_2x64} : (tensor<2x64xbf16>, tensor<64xbf16>) -> tensor<2x64xbf16>
%n11_p = stablehlo.dot_general %n8, %w10s, contracting_dims = [1] x [1] : (tensor<2x64xbf16>, tensor<16x64xbf16>) -> tensor<2x16xbf16>
%n11_b = stablehlo.broadcast_in_dim %w9s, dims = [1] : (tensor<16xbf16>) -> tensor<2x16xbf16>
%n11 = stablehlo.add %n11_p, %n11_b : tensor<2x16xbf16>
%n14_p = stablehlo.dot_general %n8, %w13s, contracting_dims = [1] x [1] : (tensor<2x64xbf16>, tensor<16x64xbf16>) -> tensor<2x16xbf16>
%n14_b = stablehlo.broadcast_in_dim %w12s, dims = [1] : (tensor<16xbf16>) -> tensor<2x16xbf16>
%n14 = stablehlo.add %n14_p, %n14_b : tensor<2x16xbf16>
%n17_p = stablehlo.dot_general %n8, %w16s, contracting_dims = [1] x [1] : (tensor<2x64xbf16>, tensor<16x64xbf16>) -> tensor<2x16xbf16>
%n17_b = stablehlo.broadcast_in_dim %w15s, dims = [1] : (tensor<16xbf16>) -> tensor<2x16xbf16>
%n17 = stablehlo.add %n17_p, %n17_b : tensor<2x16xbf16>
%n5_cos1_s = stablehlo.slice %n5 [0:2, 0:8] : (tensor<2x16xbf16>) -> tensor<2x8xbf16>
%n5_cos1 = stablehlo.broadcast_in_dim %n5_cos1_s, dims = [0, 2] : (tensor<2x8xbf16>) -> tensor<2x1x8xbf16>
%n5_sin1_s = stablehlo.slice %n5 [0:2, 8:16] : (tensor<2x16xbf16>) -> tensor<2x8xbf16>
%n5_sin1 = stablehlo.broadcast_in_dim %n5_sin1_s, dims = [0, 2] : (tensor<2x8xbf16>) -> tensor<2x1x8xbf16>
%n18_x = stablehlo.reshape %n14 : (tensor<2x16xbf16>) -> tensor<2x1x16xbf16>
%n18_l = stablehlo.slice %n18_x [0:2, 0:1, 0:8] : (tensor<2x1x16xbf16>) -> tensor<2x1x8xbf16>
%n18_r = stablehlo.slice %n18_x [0:2, 0:1, 8:16] : (tensor<2x1x16xbf16>) -> tensor<2x1x8xbf16>
%n18_lc = stablehlo.multiply %n18_l, %n5_cos1 : tensor<2x1x8xbf16>
%n18_rs = stablehlo.multiply %n18_r, %n5_sin1 : tensor<2x1x8xbf16>
%n18_rc = stablehlo.multiply %n18_r, %n5_cos1 : tensor<2x1x8xbf16>
%n18_ls = stablehlo.multiply %n18_l, %n5_sin1 : tensor<2x1x8xbf16>
%n18_a = stablehlo.subtract %n18_lc, %n18_rs : tensor<2x1x8xbf16>
%n18_b = stablehlo.add %n18_rc, %n18_ls : tensor<2x1x8xbf16>
%n18_y = stablehlo.concatenate %n18_a, %n18_b, dim = 2 : (tensor<2x1x8xbf16>, tensor<2x1x8xbf16>) -> tensor<2x1x16xbf16>
%n18 = stablehlo.reshape %n18_y : (tensor<2x1x16xbf16>) -> tensor<2x16xbf16>
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
%n19k_f = stablehlo.reshape %k0 : (tensor<2x1x64x16xbf16>) -> tensor<128x16xbf16>
%n19k_u = stablehlo.reshape %n18 : (tensor<2x16xbf16>) -> tensor<2x16xbf16>
%n19k_w = "stablehlo.scatter"(%n19k_f, %places, %n19k_u) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  stablehlo.return %b : tensor<bf16>
}) {scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false} : (tensor<128x16xbf16>, tensor<2x1xi32>, tensor<2x16xbf16>) -> tensor<128x16xbf16>
%n19k = stablehlo.reshape %n19k_w : (tensor<128x16xbf16>) -> tensor<2x1x64x16xbf16>
%n19v_f = stablehlo.reshape %v0 : (tensor<2x1x64x16xbf16>) -> tensor<128x16xbf16>
%n19v_u = stablehlo.reshape %n17 : (tensor<2x16xbf16>) -> tensor<2x16xbf16>
%n19v_w = "stablehlo.scatter"(%n19v_f, %places, %n19v_u) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  stablehlo.return %b : tensor<bf16>
}) {scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false} : (tensor<128x16xbf16>, tensor<2x1xi32>, tensor<2x16xbf16>) -> tensor<128x16xbf16>
%n19v = stablehlo.reshape %n19v_w : (tensor<128x16xbf16>) -> tensor<2x1x64x16xbf16>
%n20_x = stablehlo.reshape %n11 : (tensor<2x16xbf16>) -> tensor<2x1x16xbf16>
%n20_l = stablehlo.slice %n20_x [0:2, 0:1, 0:8] : (tensor<2x1x16xbf16>) -> tensor<2x1x8xbf16>
%n20_r = stablehlo.slice %n20_x [0:2, 0:1, 8:16] : (tensor<2x1x16xbf16>) -> tensor<2x1x8xbf16>
%n20_lc = stablehlo.multiply %n20_l, %n5_cos1 : tensor<2x1x8xbf16>
%n20_rs = stablehlo.multiply %n20_r, %n5_sin1 : tensor<2x1x8xbf16>
%n20_rc = stablehlo.multiply %n20_r, %n5_cos1 : tensor<2x1x8xbf16>
%n20_ls = stablehlo.multiply %n20_l, %n5_sin1 : tensor<2x1x8xbf16>
%n20_a = stablehlo.subtract %n20_lc, %n20_rs : tensor<2x1x8xbf16>
%n20_b = stablehlo.add %n20_rc, %n20_ls : tensor<2x1x8xbf16>
%n20_y = stablehlo.concatenate %n20_a, %n20_b, dim = 2 : (tensor<2x1x8xbf16>, tensor<2x1x8xbf16>) -> tensor<2x1x16xbf16>
%n20 = stablehlo.reshape %n20_y : (tensor<2x1x16xbf16>) -> tensor<2x16xbf16>
%at = stablehlo.iota dim = 3 : tensor<2x1x1x64xf32>
%row_f = stablehlo.convert %index : (tensor<2xi32>) -> tensor<2xf32>
%row_2 = stablehlo.reshape %row_f : (tensor<2xf32>) -> tensor<2x1xf32>
%row = stablehlo.broadcast_in_dim %row_2, dims = [0, 2] : (tensor<2x1xf32>) -> tensor<2x1x1x64xf32>
%seen = stablehlo.constant dense<0.0> : tensor<2x1x1x64xf32>
%hidden = stablehlo.constant dense<-1.0e30> : tensor<2x1x1x64xf32>
%past = stablehlo.compare LE, %at, %row, FLOAT : (tensor<2x1x1x64xf32>, tensor<2x1x1x64xf32>) -> tensor<2x1x1x64xi1>
%mask0_p = stablehlo.select %past, %seen, %hidden : tensor<2x1x1x64xi1>, tensor<2x1x1x64xf32>
%mask0 = stablehlo.convert %mask0_p : (tensor<2x1x1x64xf32>) -> tensor<2x1x1x64xbf16>
%n21_q4 = stablehlo.reshape %n20 : (tensor<2x16xbf16>) -> tensor<2x1x1x16xbf16>
%n21_q = stablehlo.transpose %n21_q4, dims = [0, 2, 1, 3] : (tensor<2x1x1x16xbf16>) -> tensor<2x1x1x16xbf16>
%n21_a = stablehlo.composite "tenstorrent.scaled_dot_product_attention" %n21_q, %n19k, %n19v, %mask0 {composite_attributes = {is_causal = false, scale = 2.500000000e-01 : f32}, decomposition = @sdpa} : (tensor<2x1x1x16xbf16>, tensor<2x1x64x16xbf16>, tensor<2x1x64x16xbf16>, tensor<2x1x1x64xbf16>) -> tensor<2x1x1x16xbf16>
%n21_t = stablehlo.transpose %n21_a, dims = [0, 2, 1, 3] : (tensor<2x1x1x16xbf16>) -> tensor<2x1x1x16xbf16>
%n21 = stablehlo.reshape %n21_t : (tensor<2x1x1x16xbf16>) -> tensor<2x16xbf16>
%n23 = stablehlo.dot_general %n21, %w22s, contracting_dims = [1] x [1] : (tensor<2x16xbf16>, tensor<64x16xbf16>) -> tensor<2x64xbf16>
%n24_y = "stablehlo.all_reduce"(%n23) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  %c = stablehlo.add %a, %b : tensor<bf16>
  stablehlo.return %c : tensor<bf16>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, use_global_device_ids} : (tensor<2x64xbf16>) -> tensor<2x64xbf16>
%n24 = "stablehlo.all_reduce"(%n24_y) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  %c = stablehlo.add %a, %b : tensor<bf16>
  stablehlo.return %c : tensor<bf16>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 2, type = 1>, use_global_device_ids} : (tensor<2x64xbf16>) -> tensor<2x64xbf16>
%n25 = stablehlo.add %n6, %n24 : tensor<2x64xbf16>
%n27 = stablehlo.composite "tenstorrent.rms_norm" %n25, %w26 {composite_attributes = {epsilon = 9.999999975e-07 : f32, normalized_shape = dense<[64]> : tensor<1xi64>}, decomposition = @rms_norm_2x64} : (tensor<2x64xbf16>, tensor<64xbf16>) -> tensor<2x64xbf16>
%n29 = stablehlo.dot_general %n27, %w28s, contracting_dims = [1] x [1] : (tensor<2x64xbf16>, tensor<32x64xbf16>) -> tensor<2x32xbf16>
%n31 = stablehlo.dot_general %n27, %w30s, contracting_dims = [1] x [1] : (tensor<2x64xbf16>, tensor<32x64xbf16>) -> tensor<2x32xbf16>
%n33_l = stablehlo.logistic %n29 : tensor<2x32xbf16>
%n33_g = stablehlo.multiply %n29, %n33_l : tensor<2x32xbf16>
%n33 = stablehlo.multiply %n33_g, %n31 : tensor<2x32xbf16>
%n34 = stablehlo.dot_general %n33, %w32s, contracting_dims = [1] x [1] : (tensor<2x32xbf16>, tensor<64x32xbf16>) -> tensor<2x64xbf16>
%n35_y = "stablehlo.all_reduce"(%n34) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  %c = stablehlo.add %a, %b : tensor<bf16>
  stablehlo.return %c : tensor<bf16>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 3, type = 1>, use_global_device_ids} : (tensor<2x64xbf16>) -> tensor<2x64xbf16>
%n35 = "stablehlo.all_reduce"(%n35_y) ({
^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
  %c = stablehlo.add %a, %b : tensor<bf16>
  stablehlo.return %c : tensor<bf16>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 4, type = 1>, use_global_device_ids} : (tensor<2x64xbf16>) -> tensor<2x64xbf16>
%n36 = stablehlo.add %n25, %n35 : tensor<2x64xbf16>
%n38 = stablehlo.reshape %n36 : (tensor<2x64xbf16>) -> tensor<2x64xbf16>
%n39 = stablehlo.composite "tenstorrent.rms_norm" %n38, %w37 {composite_attributes = {epsilon = 9.999999975e-07 : f32, normalized_shape = dense<[64]> : tensor<1xi64>}, decomposition = @rms_norm_2x64} : (tensor<2x64xbf16>, tensor<64xbf16>) -> tensor<2x64xbf16>
%n41 = stablehlo.dot_general %n39, %w40s, contracting_dims = [1] x [1] : (tensor<2x64xbf16>, tensor<16x64xbf16>) -> tensor<2x16xbf16>
%n42_f = stablehlo.convert %n41 : (tensor<2x16xbf16>) -> tensor<2x16xf32>
%n42_s = stablehlo.convert %shard : (tensor<9xi32>) -> tensor<9xf32>
%n42_s0 = stablehlo.slice %n42_s [0:1] : (tensor<9xf32>) -> tensor<1xf32>
%n42_t0 = stablehlo.broadcast_in_dim %n42_s0, dims = [1] : (tensor<1xf32>) -> tensor<2x16xf32>
%n42_s1 = stablehlo.slice %n42_s [1:2] : (tensor<9xf32>) -> tensor<1xf32>
%n42_t1 = stablehlo.broadcast_in_dim %n42_s1, dims = [1] : (tensor<1xf32>) -> tensor<2x16xf32>
%n42_i = stablehlo.iota dim = 1 : tensor<2x16xf32>
%n42_v = stablehlo.compare LT, %n42_i, %n42_t1, FLOAT : (tensor<2x16xf32>, tensor<2x16xf32>) -> tensor<2x16xi1>
%n42_n = stablehlo.constant dense<-3.0e38> : tensor<2x16xf32>
%n42_x = stablehlo.select %n42_v, %n42_f, %n42_n : tensor<2x16xi1>, tensor<2x16xf32>
%n42_m_0 = stablehlo.constant dense<-3.000000000e+38> : tensor<f32>
%n42_m = stablehlo.reduce(%n42_x init: %n42_m_0) applies stablehlo.maximum across dimensions = [1] : (tensor<2x16xf32>, tensor<f32>) -> tensor<2xf32>
%n42_mb = stablehlo.broadcast_in_dim %n42_m, dims = [0] : (tensor<2xf32>) -> tensor<2x16xf32>
%n42_e = stablehlo.compare EQ, %n42_x, %n42_mb, FLOAT : (tensor<2x16xf32>, tensor<2x16xf32>) -> tensor<2x16xi1>
%n42_g = stablehlo.add %n42_i, %n42_t0 : tensor<2x16xf32>
%n42_h = stablehlo.constant dense<3.0e38> : tensor<2x16xf32>
%n42_c = stablehlo.select %n42_e, %n42_g, %n42_h : tensor<2x16xi1>, tensor<2x16xf32>
%n42_d_0 = stablehlo.constant dense<3.000000000e+38> : tensor<f32>
%n42_d = stablehlo.reduce(%n42_c init: %n42_d_0) applies stablehlo.minimum across dimensions = [1] : (tensor<2x16xf32>, tensor<f32>) -> tensor<2xf32>
%n42_m1 = stablehlo.reshape %n42_m : (tensor<2xf32>) -> tensor<2x1xf32>
%n42_d1 = stablehlo.reshape %n42_d : (tensor<2xf32>) -> tensor<2x1xf32>
%n42 = stablehlo.concatenate %n42_m1, %n42_d1, dim = 1 : (tensor<2x1xf32>, tensor<2x1xf32>) -> tensor<2x2xf32>
%n43_y = "stablehlo.all_gather"(%n42) {all_gather_dim = 1 : i64, replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 5, type = 1>, use_global_device_ids} : (tensor<2x2xf32>) -> tensor<2x8xf32>
%n43 = "stablehlo.all_gather"(%n43_y) {all_gather_dim = 1 : i64, replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 6, type = 1>, use_global_device_ids} : (tensor<2x8xf32>) -> tensor<2x16xf32>
sdy.return %n41, %n43, %n19k, %n19v : tensor<2x16xbf16>, tensor<2x16xf32>, tensor<2x1x64x16xbf16>, tensor<2x1x64x16xbf16>
} : (tensor<2x16xbf16>, tensor<2x64xbf16>, tensor<2xi32>, tensor<72xi32>, tensor<64xbf16>, tensor<128x64xbf16>, tensor<128xbf16>, tensor<128x64xbf16>, tensor<128xbf16>, tensor<128x64xbf16>, tensor<128xbf16>, tensor<64x128xbf16>, tensor<64xbf16>, tensor<256x64xbf16>, tensor<256x64xbf16>, tensor<64x256xbf16>, tensor<64xbf16>, tensor<128x64xbf16>, tensor<2x8x64x16xbf16>, tensor<2x8x64x16xbf16>) -> (tensor<2x128xbf16>, tensor<2x16xf32>, tensor<2x8x64x16xbf16>, tensor<2x8x64x16xbf16>)
return %R#0, %R#1, %R#2, %R#3 : tensor<2x128xbf16>, tensor<2x16xf32>, tensor<2x8x64x16xbf16>, tensor<2x8x64x16xbf16>
}
func.func private @tt.mark_4(%w: tensor<64xbf16>) -> tensor<64xbf16> {
  return %w : tensor<64xbf16>
}
func.func private @tt.mark_5(%w: tensor<16x64xbf16>) -> tensor<16x64xbf16> {
  return %w : tensor<16x64xbf16>
}
func.func private @tt.mark_6(%w: tensor<16xbf16>) -> tensor<16xbf16> {
  return %w : tensor<16xbf16>
}
func.func private @tt.mark_11(%w: tensor<64x16xbf16>) -> tensor<64x16xbf16> {
  return %w : tensor<64x16xbf16>
}
func.func private @tt.mark_13(%w: tensor<32x64xbf16>) -> tensor<32x64xbf16> {
  return %w : tensor<32x64xbf16>
}
func.func private @tt.mark_15(%w: tensor<64x32xbf16>) -> tensor<64x32xbf16> {
  return %w : tensor<64x32xbf16>
}
func.func private @rms_norm_2x64(%x: tensor<2x64xbf16>, %gain: tensor<64xbf16>) -> tensor<2x64xbf16> {
  %f = stablehlo.convert %x : (tensor<2x64xbf16>) -> tensor<2x64xf32>
  %g = stablehlo.convert %gain : (tensor<64xbf16>) -> tensor<64xf32>
  %s = stablehlo.multiply %f, %f : tensor<2x64xf32>
  %z = stablehlo.constant dense<0.0> : tensor<f32>
  %m = stablehlo.reduce(%s init: %z) applies stablehlo.add across dimensions = [1] : (tensor<2x64xf32>, tensor<f32>) -> tensor<2xf32>
  %d = stablehlo.constant dense<64.0> : tensor<2xf32>
  %e = stablehlo.constant dense<9.999999975e-07> : tensor<2xf32>
  %a = stablehlo.divide %m, %d : tensor<2xf32>
  %b = stablehlo.add %a, %e : tensor<2xf32>
  %r = stablehlo.rsqrt %b : tensor<2xf32>
  %rb = stablehlo.broadcast_in_dim %r, dims = [0] : (tensor<2xf32>) -> tensor<2x64xf32>
  %gb = stablehlo.broadcast_in_dim %g, dims = [1] : (tensor<64xf32>) -> tensor<2x64xf32>
  %y = stablehlo.multiply %f, %rb : tensor<2x64xf32>
  %w = stablehlo.multiply %y, %gb : tensor<2x64xf32>
  %o = stablehlo.convert %w : (tensor<2x64xf32>) -> tensor<2x64xbf16>
  return %o : tensor<2x64xbf16>
}
func.func private @sdpa(%q: tensor<2x1x1x16xbf16>, %k: tensor<2x1x64x16xbf16>, %v: tensor<2x1x64x16xbf16>, %mask: tensor<2x1x1x64xbf16>) -> tensor<2x1x1x16xbf16> {
  %q5 = stablehlo.reshape %q : (tensor<2x1x1x16xbf16>) -> tensor<2x1x1x1x16xbf16>
  %s = stablehlo.dot_general %q5, %k, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [3] : (tensor<2x1x1x1x16xbf16>, tensor<2x1x64x16xbf16>) -> tensor<2x1x1x1x64xf32>
  %sc = stablehlo.constant dense<2.500000000e-01> : tensor<2x1x1x1x64xf32>
  %s1 = stablehlo.multiply %s, %sc : tensor<2x1x1x1x64xf32>
  %m3 = stablehlo.reshape %mask : (tensor<2x1x1x64xbf16>) -> tensor<2x1x64xbf16>
  %mf = stablehlo.convert %m3 : (tensor<2x1x64xbf16>) -> tensor<2x1x64xf32>
  %mb = stablehlo.broadcast_in_dim %mf, dims = [0, 3, 4] : (tensor<2x1x64xf32>) -> tensor<2x1x1x1x64xf32>
  %s2 = stablehlo.add %s1, %mb : tensor<2x1x1x1x64xf32>
  %ninf = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %mx = stablehlo.reduce(%s2 init: %ninf) applies stablehlo.maximum across dimensions = [4] : (tensor<2x1x1x1x64xf32>, tensor<f32>) -> tensor<2x1x1x1xf32>
  %mxb = stablehlo.broadcast_in_dim %mx, dims = [0, 1, 2, 3] : (tensor<2x1x1x1xf32>) -> tensor<2x1x1x1x64xf32>
  %s3 = stablehlo.subtract %s2, %mxb : tensor<2x1x1x1x64xf32>
  %ex = stablehlo.exponential %s3 : tensor<2x1x1x1x64xf32>
  %z = stablehlo.constant dense<0.0> : tensor<f32>
  %sm = stablehlo.reduce(%ex init: %z) applies stablehlo.add across dimensions = [4] : (tensor<2x1x1x1x64xf32>, tensor<f32>) -> tensor<2x1x1x1xf32>
  %smb = stablehlo.broadcast_in_dim %sm, dims = [0, 1, 2, 3] : (tensor<2x1x1x1xf32>) -> tensor<2x1x1x1x64xf32>
  %p = stablehlo.divide %ex, %smb : tensor<2x1x1x1x64xf32>
  %pb = stablehlo.convert %p : (tensor<2x1x1x1x64xf32>) -> tensor<2x1x1x1x64xbf16>
  %o = stablehlo.dot_general %pb, %v, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [2] : (tensor<2x1x1x1x64xbf16>, tensor<2x1x64x16xbf16>) -> tensor<2x1x1x1x16xbf16>
  %r = stablehlo.reshape %o : (tensor<2x1x1x1x16xbf16>) -> tensor<2x1x1x16xbf16>
  return %r : tensor<2x1x1x16xbf16>
}
}
