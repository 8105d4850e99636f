module @qwenmesh attributes {mhlo.num_partitions = 8 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=8]>
func.func public @main(%g_scalars: tensor<20xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_x0: tensor<16x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_x1: tensor<16x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_x2: tensor<16x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_x3: tensor<16x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_shard: tensor<72xi32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    %g_w0s: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w1s: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w2: tensor<16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_w3s: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w4s: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w5: tensor<16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_s0: tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>, tf.aliasing_output = 4 : i32},
    %g_s1: tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>, tf.aliasing_output = 5 : i32}) -> (tensor<16x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>},
    tensor<16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<16x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>},
    tensor<16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>}) {
%R:6 = sdy.manual_computation(%g_scalars, %g_x0, %g_x1, %g_x2, %g_x3, %g_shard, %g_w0s, %g_w1s, %g_w2, %g_w3s, %g_w4s, %g_w5, %g_s0, %g_s1)
  in_shardings=[<@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}]>, <@mesh, [{"x", "y"}]>]
  out_shardings=[<@mesh, [{}, {"x", "y"}]>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {"x", "y"}]>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}]>, <@mesh, [{"x", "y"}]>]
  manual_axes={"x", "y"} (%scalars: tensor<20xf32>, %x0: tensor<16x64xf32>, %x1: tensor<16x64xf32>, %x2: tensor<16x64xf32>, %x3: tensor<16x64xf32>, %shard: tensor<9xi32>, %w0s_in: tensor<16x64xf32>, %w1s_in: tensor<16x64xf32>, %w2_in: tensor<16xf32>, %w3s_in: tensor<16x64xf32>, %w4s_in: tensor<16x64xf32>, %w5_in: tensor<16xf32>, %s0: tensor<16xf32>, %s1: tensor<16xf32>) {
%w0s = func.call @tt.mark_6(%w0s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xf32>) -> tensor<16x64xf32>
%w1s = func.call @tt.mark_6(%w1s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xf32>) -> tensor<16x64xf32>
%w2 = func.call @tt.mark_8(%w2_in) {ttcore.argument_type = "parameter"} : (tensor<16xf32>) -> tensor<16xf32>
%w3s = func.call @tt.mark_6(%w3s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xf32>) -> tensor<16x64xf32>
%w4s = func.call @tt.mark_6(%w4s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xf32>) -> tensor<16x64xf32>
%w5 = func.call @tt.mark_8(%w5_in) {ttcore.argument_type = "parameter"} : (tensor<16xf32>) -> tensor<16xf32>
%n1 = stablehlo.dot_general %x0, %w0s, contracting_dims = [1] x [1] : (tensor<16x64xf32>, tensor<16x64xf32>) -> tensor<16x16xf32>
%n2 = stablehlo.dot_general %x1, %w1s, contracting_dims = [1] x [1] : (tensor<16x64xf32>, tensor<16x64xf32>) -> tensor<16x16xf32>
%n3_q = stablehlo.multiply %n1, %n1 : tensor<16x16xf32>
%n3_s_init = stablehlo.constant dense<0.0> : tensor<f32>
%n3_s = stablehlo.reduce(%n3_q init: %n3_s_init) applies stablehlo.add across dimensions = [1] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n3_n = stablehlo.constant dense<1.600000000e+01> : tensor<16xf32>
%n3_m = stablehlo.divide %n3_s, %n3_n : tensor<16xf32>
%n3_e = stablehlo.constant dense<9.999999776e-03> : tensor<16xf32>
%n3_a = stablehlo.add %n3_m, %n3_e : tensor<16xf32>
%n3_r = stablehlo.rsqrt %n3_a : tensor<16xf32>
%n3_b = stablehlo.broadcast_in_dim %n3_r, dims = [0] : (tensor<16xf32>) -> tensor<16x16xf32>
%n3_h = stablehlo.multiply %n1, %n3_b : tensor<16x16xf32>
%n3_g = stablehlo.broadcast_in_dim %w2, dims = [1] : (tensor<16xf32>) -> tensor<16x16xf32>
%n3_w = stablehlo.multiply %n2, %n3_g : tensor<16x16xf32>
%n3_wh = stablehlo.multiply %n3_w, %n3_h : tensor<16x16xf32>
%n3_t_init = stablehlo.constant dense<0.0> : tensor<f32>
%n3_t = stablehlo.reduce(%n3_wh init: %n3_t_init) applies stablehlo.add across dimensions = [1] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n3_c = stablehlo.divide %n3_t, %n3_n : tensor<16xf32>
%n3_cb = stablehlo.broadcast_in_dim %n3_c, dims = [0] : (tensor<16xf32>) -> tensor<16x16xf32>
%n3_hc = stablehlo.multiply %n3_h, %n3_cb : tensor<16x16xf32>
%n3_d = stablehlo.subtract %n3_w, %n3_hc : tensor<16x16xf32>
%n3 = stablehlo.multiply %n3_b, %n3_d : tensor<16x16xf32>
%n3_r1 = stablehlo.reshape %n3_r : (tensor<16xf32>) -> tensor<16xf32>
%n4_p = stablehlo.multiply %n1, %n2 : tensor<16x16xf32>
%n4_rb = stablehlo.broadcast_in_dim %n3_r1, dims = [0] : (tensor<16xf32>) -> tensor<16x16xf32>
%n4_q = stablehlo.multiply %n4_p, %n4_rb : tensor<16x16xf32>
%n4_d_init = stablehlo.constant dense<0.0> : tensor<f32>
%n4_d = stablehlo.reduce(%n4_q init: %n4_d_init) applies stablehlo.add across dimensions = [0] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%fresh_0 = stablehlo.constant dense<0.0> : tensor<f32>
%scalar_0_1 = stablehlo.slice %scalars [0:1] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_0 = stablehlo.reshape %scalar_0_1 : (tensor<1xf32>) -> tensor<f32>
%fresh = stablehlo.compare NE, %scalar_0, %fresh_0, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
%n4_0 = stablehlo.constant dense<0.000000000e+00> : tensor<16xf32>
%n4_h = stablehlo.select %fresh, %n4_0, %s0 : tensor<i1>, tensor<16xf32>
%n4 = stablehlo.add %n4_h, %n4_d : tensor<16xf32>
%n5_h = stablehlo.reshape %n4 : (tensor<16xf32>) -> tensor<1x16xf32>
%n5_init = stablehlo.constant dense<0.0> : tensor<f32>
%n5 = stablehlo.reduce(%n5_h init: %n5_init) applies stablehlo.add across dimensions = [0] : (tensor<1x16xf32>, tensor<f32>) -> tensor<16xf32>
%n6 = "stablehlo.all_reduce"(%n5) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1, 2, 3, 4, 5, 6, 7]]> : tensor<1x8xi64>, channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, use_global_device_ids} : (tensor<16xf32>) -> tensor<16xf32>
%n7 = stablehlo.dot_general %x2, %w3s, contracting_dims = [1] x [1] : (tensor<16x64xf32>, tensor<16x64xf32>) -> tensor<16x16xf32>
%n8 = stablehlo.dot_general %x3, %w4s, contracting_dims = [1] x [1] : (tensor<16x64xf32>, tensor<16x64xf32>) -> tensor<16x16xf32>
%n9_q = stablehlo.multiply %n7, %n7 : tensor<16x16xf32>
%n9_s_init = stablehlo.constant dense<0.0> : tensor<f32>
%n9_s = stablehlo.reduce(%n9_q init: %n9_s_init) applies stablehlo.add across dimensions = [1] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n9_n = stablehlo.constant dense<1.600000000e+01> : tensor<16xf32>
%n9_m = stablehlo.divide %n9_s, %n9_n : tensor<16xf32>
%n9_e = stablehlo.constant dense<9.999999776e-03> : tensor<16xf32>
%n9_a = stablehlo.add %n9_m, %n9_e : tensor<16xf32>
%n9_r = stablehlo.rsqrt %n9_a : tensor<16xf32>
%n9_b = stablehlo.broadcast_in_dim %n9_r, dims = [0] : (tensor<16xf32>) -> tensor<16x16xf32>
%n9_h = stablehlo.multiply %n7, %n9_b : tensor<16x16xf32>
%n9_g = stablehlo.broadcast_in_dim %w5, dims = [1] : (tensor<16xf32>) -> tensor<16x16xf32>
%n9_w = stablehlo.multiply %n8, %n9_g : tensor<16x16xf32>
%n9_wh = stablehlo.multiply %n9_w, %n9_h : tensor<16x16xf32>
%n9_t_init = stablehlo.constant dense<0.0> : tensor<f32>
%n9_t = stablehlo.reduce(%n9_wh init: %n9_t_init) applies stablehlo.add across dimensions = [1] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n9_c = stablehlo.divide %n9_t, %n9_n : tensor<16xf32>
%n9_cb = stablehlo.broadcast_in_dim %n9_c, dims = [0] : (tensor<16xf32>) -> tensor<16x16xf32>
%n9_hc = stablehlo.multiply %n9_h, %n9_cb : tensor<16x16xf32>
%n9_d = stablehlo.subtract %n9_w, %n9_hc : tensor<16x16xf32>
%n9 = stablehlo.multiply %n9_b, %n9_d : tensor<16x16xf32>
%n9_r1 = stablehlo.reshape %n9_r : (tensor<16xf32>) -> tensor<16xf32>
%n10_p = stablehlo.multiply %n7, %n8 : tensor<16x16xf32>
%n10_rb = stablehlo.broadcast_in_dim %n9_r1, dims = [0] : (tensor<16xf32>) -> tensor<16x16xf32>
%n10_q = stablehlo.multiply %n10_p, %n10_rb : tensor<16x16xf32>
%n10_d_init = stablehlo.constant dense<0.0> : tensor<f32>
%n10_d = stablehlo.reduce(%n10_q init: %n10_d_init) applies stablehlo.add across dimensions = [0] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n10_0 = stablehlo.constant dense<0.000000000e+00> : tensor<16xf32>
%n10_h = stablehlo.select %fresh, %n10_0, %s1 : tensor<i1>, tensor<16xf32>
%n10 = stablehlo.add %n10_h, %n10_d : tensor<16xf32>
%place_6_1 = stablehlo.slice %shard [6:7] : (tensor<9xi32>) -> tensor<1xi32>
%place_6 = stablehlo.reshape %place_6_1 : (tensor<1xi32>) -> tensor<i32>
%first_16_g = stablehlo.broadcast_in_dim %place_6, dims = [] : (tensor<i32>) -> tensor<16xi32>
%first_16_0 = stablehlo.constant dense<0> : tensor<16xi32>
%first_16 = stablehlo.compare EQ, %first_16_g, %first_16_0, SIGNED : (tensor<16xi32>, tensor<16xi32>) -> tensor<16xi1>
%n11_o_z = stablehlo.constant dense<0.000000000e+00> : tensor<16xf32>
%n11_o = stablehlo.select %first_16, %n10, %n11_o_z : tensor<16xi1>, tensor<16xf32>
%n11_h = stablehlo.reshape %n11_o : (tensor<16xf32>) -> tensor<1x16xf32>
%n11_init = stablehlo.constant dense<0.0> : tensor<f32>
%n11 = stablehlo.reduce(%n11_h init: %n11_init) applies stablehlo.add across dimensions = [0] : (tensor<1x16xf32>, tensor<f32>) -> tensor<16xf32>
%n12 = "stablehlo.all_reduce"(%n11) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1, 2, 3, 4, 5, 6, 7]]> : tensor<1x8xi64>, channel_handle = #stablehlo.channel_handle<handle = 2, type = 1>, use_global_device_ids} : (tensor<16xf32>) -> tensor<16xf32>
sdy.return %n3, %n6, %n9, %n12, %n4, %n10 : tensor<16x16xf32>, tensor<16xf32>, tensor<16x16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>
} : (tensor<20xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<72xi32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<16xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<16xf32>, tensor<128xf32>, tensor<128xf32>) -> (tensor<16x128xf32>, tensor<16xf32>, tensor<16x128xf32>, tensor<16xf32>, tensor<128xf32>, tensor<128xf32>)
return %R#0, %R#1, %R#2, %R#3, %R#4, %R#5 : tensor<16x128xf32>, tensor<16xf32>, tensor<16x128xf32>, tensor<16xf32>, tensor<128xf32>, tensor<128xf32>
}
func.func private @tt.mark_6(%w: tensor<16x64xf32>) -> tensor<16x64xf32> {
  return %w : tensor<16x64xf32>
}
func.func private @tt.mark_8(%w: tensor<16xf32>) -> tensor<16xf32> {
  return %w : tensor<16xf32>
}
}
