module @qwenmesh attributes {mhlo.num_partitions = 8 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=2, "y"=4]>
func.func public @main(%g_w0s: tensor<128x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w1s: tensor<128x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w2s: tensor<256x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w3s: tensor<64x128xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>},
    %g_w4s: tensor<64x256xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>},
    %g_s0: tensor<19x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_s1: tensor<128x19xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_s3: tensor<19x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_s4: tensor<128x19xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_s6: tensor<19x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_s7: tensor<256x19xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_s9: tensor<19x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>},
    %g_s10: tensor<64x19xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_s12: tensor<19x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>},
    %g_s13: tensor<64x19xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) -> (tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    tensor<256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}) {
%R:5 = sdy.manual_computation(%g_w0s, %g_w1s, %g_w2s, %g_w3s, %g_w4s, %g_s0, %g_s1, %g_s3, %g_s4, %g_s6, %g_s7, %g_s9, %g_s10, %g_s12, %g_s13)
  in_shardings=[<@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{}, {"x", "y"}]>, <@mesh, [{}, {"x", "y"}]>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{}, {"x", "y"}]>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {"x", "y"}]>, <@mesh, [{}, {}], replicated={"x", "y"}>]
  out_shardings=[<@mesh, [{"x", "y"}]>, <@mesh, [{"x", "y"}]>, <@mesh, [{"x", "y"}]>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%w0s_in: tensor<16x64xbf16>, %w1s_in: tensor<16x64xbf16>, %w2s_in: tensor<32x64xbf16>, %w3s_in: tensor<64x16xbf16>, %w4s_in: tensor<64x32xbf16>, %s0: tensor<19x64xf32>, %s1: tensor<16x19xf32>, %s3: tensor<19x64xf32>, %s4: tensor<16x19xf32>, %s6: tensor<19x64xf32>, %s7: tensor<32x19xf32>, %s9: tensor<19x16xf32>, %s10: tensor<64x19xf32>, %s12: tensor<19x32xf32>, %s13: tensor<64x19xf32>) {
%w0s = func.call @tt.mark_0(%w0s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%w1s = func.call @tt.mark_0(%w1s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xbf16>) -> tensor<16x64xbf16>
%w2s = func.call @tt.mark_2(%w2s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xbf16>) -> tensor<32x64xbf16>
%w3s = func.call @tt.mark_3(%w3s_in) {ttcore.argument_type = "parameter"} : (tensor<64x16xbf16>) -> tensor<64x16xbf16>
%w4s = func.call @tt.mark_4(%w4s_in) {ttcore.argument_type = "parameter"} : (tensor<64x32xbf16>) -> tensor<64x32xbf16>
%w0s_f32 = stablehlo.convert %w0s : (tensor<16x64xbf16>) -> tensor<16x64xf32>
%n1_ba = stablehlo.dot_general %s1, %s0, contracting_dims = [1] x [0] : (tensor<16x19xf32>, tensor<19x64xf32>) -> tensor<16x64xf32>
%n1_f = stablehlo.constant dense<1.500000000e+00> : tensor<16x64xf32>
%n1_s = stablehlo.multiply %n1_ba, %n1_f : tensor<16x64xf32>
%n1_w = stablehlo.add %w0s_f32, %n1_s : tensor<16x64xf32>
%n1_q = stablehlo.multiply %n1_w, %n1_w : tensor<16x64xf32>
%n1_p_init = stablehlo.constant dense<0.0> : tensor<f32>
%n1_p = stablehlo.reduce(%n1_q init: %n1_p_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
%n1_0 = stablehlo.constant dense<0.000000000e+00> : tensor<16xf32>
%n1_1 = stablehlo.constant dense<1.000000000e+00> : tensor<16xf32>
%n1_l = stablehlo.compare GT, %n1_p, %n1_0, FLOAT : (tensor<16xf32>, tensor<16xf32>) -> tensor<16xi1>
%n1_z = stablehlo.select %n1_l, %n1_p, %n1_1 : tensor<16xi1>, tensor<16xf32>
%n1 = stablehlo.rsqrt %n1_z : tensor<16xf32>
%w1s_f32 = stablehlo.convert %w1s : (tensor<16x64xbf16>) -> tensor<16x64xf32>
%n2_ba = stablehlo.dot_general %s4, %s3, contracting_dims = [1] x [0] : (tensor<16x19xf32>, tensor<19x64xf32>) -> tensor<16x64xf32>
%n2_f = stablehlo.constant dense<-5.000000000e-01> : tensor<16x64xf32>
%n2_s = stablehlo.multiply %n2_ba, %n2_f : tensor<16x64xf32>
%n2_w = stablehlo.add %w1s_f32, %n2_s : tensor<16x64xf32>
%n2_q = stablehlo.multiply %n2_w, %n2_w : tensor<16x64xf32>
%n2_p_init = stablehlo.constant dense<0.0> : tensor<f32>
%n2_p = stablehlo.reduce(%n2_q init: %n2_p_init) applies stablehlo.add across dimensions = [1] : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
%n2_0 = stablehlo.constant dense<0.000000000e+00> : tensor<16xf32>
%n2_1 = stablehlo.constant dense<1.000000000e+00> : tensor<16xf32>
%n2_l = stablehlo.compare GT, %n2_p, %n2_0, FLOAT : (tensor<16xf32>, tensor<16xf32>) -> tensor<16xi1>
%n2_z = stablehlo.select %n2_l, %n2_p, %n2_1 : tensor<16xi1>, tensor<16xf32>
%n2 = stablehlo.rsqrt %n2_z : tensor<16xf32>
%w2s_f32 = stablehlo.convert %w2s : (tensor<32x64xbf16>) -> tensor<32x64xf32>
%n3_ba = stablehlo.dot_general %s7, %s6, contracting_dims = [1] x [0] : (tensor<32x19xf32>, tensor<19x64xf32>) -> tensor<32x64xf32>
%n3_f = stablehlo.constant dense<2.000000000e+00> : tensor<32x64xf32>
%n3_s = stablehlo.multiply %n3_ba, %n3_f : tensor<32x64xf32>
%n3_w = stablehlo.add %w2s_f32, %n3_s : tensor<32x64xf32>
%n3_q = stablehlo.multiply %n3_w, %n3_w : tensor<32x64xf32>
%n3_p_init = stablehlo.constant dense<0.0> : tensor<f32>
%n3_p = stablehlo.reduce(%n3_q init: %n3_p_init) applies stablehlo.add across dimensions = [1] : (tensor<32x64xf32>, tensor<f32>) -> tensor<32xf32>
%n3_0 = stablehlo.constant dense<0.000000000e+00> : tensor<32xf32>
%n3_1 = stablehlo.constant dense<1.000000000e+00> : tensor<32xf32>
%n3_l = stablehlo.compare GT, %n3_p, %n3_0, FLOAT : (tensor<32xf32>, tensor<32xf32>) -> tensor<32xi1>
%n3_z = stablehlo.select %n3_l, %n3_p, %n3_1 : tensor<32xi1>, tensor<32xf32>
%n3 = stablehlo.rsqrt %n3_z : tensor<32xf32>
%w3s_f32 = stablehlo.convert %w3s : (tensor<64x16xbf16>) -> tensor<64x16xf32>
%n4_ba = stablehlo.dot_general %s10, %s9, contracting_dims = [1] x [0] : (tensor<64x19xf32>, tensor<19x16xf32>) -> tensor<64x16xf32>
%n4_f = stablehlo.constant dense<2.500000000e-01> : tensor<64x16xf32>
%n4_s = stablehlo.multiply %n4_ba, %n4_f : tensor<64x16xf32>
%n4_w = stablehlo.add %w3s_f32, %n4_s : tensor<64x16xf32>
%n4_q = stablehlo.multiply %n4_w, %n4_w : tensor<64x16xf32>
%n4_p_init = stablehlo.constant dense<0.0> : tensor<f32>
%n4_p = stablehlo.reduce(%n4_q init: %n4_p_init) applies stablehlo.add across dimensions = [1] : (tensor<64x16xf32>, tensor<f32>) -> tensor<64xf32>
%n4_a_y = "stablehlo.all_reduce"(%n4_p) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, use_global_device_ids} : (tensor<64xf32>) -> tensor<64xf32>
%n4_a = "stablehlo.all_reduce"(%n4_a_y) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 2, type = 1>, use_global_device_ids} : (tensor<64xf32>) -> tensor<64xf32>
%n4_0 = stablehlo.constant dense<0.000000000e+00> : tensor<64xf32>
%n4_1 = stablehlo.constant dense<1.000000000e+00> : tensor<64xf32>
%n4_l = stablehlo.compare GT, %n4_a, %n4_0, FLOAT : (tensor<64xf32>, tensor<64xf32>) -> tensor<64xi1>
%n4_z = stablehlo.select %n4_l, %n4_a, %n4_1 : tensor<64xi1>, tensor<64xf32>
%n4 = stablehlo.rsqrt %n4_z : tensor<64xf32>
%w4s_f32 = stablehlo.convert %w4s : (tensor<64x32xbf16>) -> tensor<64x32xf32>
%n5_ba = stablehlo.dot_general %s13, %s12, contracting_dims = [1] x [0] : (tensor<64x19xf32>, tensor<19x32xf32>) -> tensor<64x32xf32>
%n5_f = stablehlo.constant dense<1.000000000e+00> : tensor<64x32xf32>
%n5_s = stablehlo.multiply %n5_ba, %n5_f : tensor<64x32xf32>
%n5_w = stablehlo.add %w4s_f32, %n5_s : tensor<64x32xf32>
%n5_q = stablehlo.multiply %n5_w, %n5_w : tensor<64x32xf32>
%n5_p_init = stablehlo.constant dense<0.0> : tensor<f32>
%n5_p = stablehlo.reduce(%n5_q init: %n5_p_init) applies stablehlo.add across dimensions = [1] : (tensor<64x32xf32>, tensor<f32>) -> tensor<64xf32>
%n5_a_y = "stablehlo.all_reduce"(%n5_p) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 3, type = 1>, use_global_device_ids} : (tensor<64xf32>) -> tensor<64xf32>
%n5_a = "stablehlo.all_reduce"(%n5_a_y) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 4, type = 1>, use_global_device_ids} : (tensor<64xf32>) -> tensor<64xf32>
%n5_0 = stablehlo.constant dense<0.000000000e+00> : tensor<64xf32>
%n5_1 = stablehlo.constant dense<1.000000000e+00> : tensor<64xf32>
%n5_l = stablehlo.compare GT, %n5_a, %n5_0, FLOAT : (tensor<64xf32>, tensor<64xf32>) -> tensor<64xi1>
%n5_z = stablehlo.select %n5_l, %n5_a, %n5_1 : tensor<64xi1>, tensor<64xf32>
%n5 = stablehlo.rsqrt %n5_z : tensor<64xf32>
sdy.return %n1, %n2, %n3, %n4, %n5 : tensor<16xf32>, tensor<16xf32>, tensor<32xf32>, tensor<64xf32>, tensor<64xf32>
} : (tensor<128x64xbf16>, tensor<128x64xbf16>, tensor<256x64xbf16>, tensor<64x128xbf16>, tensor<64x256xbf16>, tensor<19x64xf32>, tensor<128x19xf32>, tensor<19x64xf32>, tensor<128x19xf32>, tensor<19x64xf32>, tensor<256x19xf32>, tensor<19x128xf32>, tensor<64x19xf32>, tensor<19x256xf32>, tensor<64x19xf32>) -> (tensor<128xf32>, tensor<128xf32>, tensor<256xf32>, tensor<64xf32>, tensor<64xf32>)
return %R#0, %R#1, %R#2, %R#3, %R#4 : tensor<128xf32>, tensor<128xf32>, tensor<256xf32>, tensor<64xf32>, tensor<64xf32>
}
func.func private @tt.mark_0(%w: tensor<16x64xbf16>) -> tensor<16x64xbf16> {
  return %w : tensor<16x64xbf16>
}
func.func private @tt.mark_2(%w: tensor<32x64xbf16>) -> tensor<32x64xbf16> {
  return %w : tensor<32x64xbf16>
}
func.func private @tt.mark_3(%w: tensor<64x16xbf16>) -> tensor<64x16xbf16> {
  return %w : tensor<64x16xbf16>
}
func.func private @tt.mark_4(%w: tensor<64x32xbf16>) -> tensor<64x32xbf16> {
  return %w : tensor<64x32xbf16>
}
}
