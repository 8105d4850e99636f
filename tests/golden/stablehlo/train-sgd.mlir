module @qwenmesh attributes {mhlo.num_partitions = 8 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=2, "y"=4]>
func.func public @main(%g_scalars: tensor<20xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_x0: tensor<32x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {}]>},
    %g_x1: tensor<32x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {}]>},
    %g_x2: tensor<32x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {}]>},
    %g_w0s: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    %g_s0: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 6 : i32},
    %g_s1: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 5 : i32},
    %g_s2: tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>, tf.aliasing_output = 8 : i32},
    %g_s3: tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>, tf.aliasing_output = 7 : i32},
    %g_s4: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>, tf.aliasing_output = 10 : i32},
    %g_s5: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>, tf.aliasing_output = 9 : i32},
    %g_s6: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>, tf.aliasing_output = 12 : i32},
    %g_s7: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>, tf.aliasing_output = 11 : i32},
    %g_s8: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>, tf.aliasing_output = 14 : i32},
    %g_s9: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>, tf.aliasing_output = 13 : i32}) -> (tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) {
%R:15 = sdy.manual_computation(%g_scalars, %g_x0, %g_x1, %g_x2, %g_w0s, %g_s0, %g_s1, %g_s2, %g_s3, %g_s4, %g_s5, %g_s6, %g_s7, %g_s8, %g_s9)
  in_shardings=[<@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x"}, {}], replicated={"y"}>, <@mesh, [{"x"}, {}], replicated={"y"}>, <@mesh, [{"x"}, {}], replicated={"y"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>]
  out_shardings=[<@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%scalars: tensor<20xf32>, %x0: tensor<16x64xf32>, %x1: tensor<16x64xf32>, %x2: tensor<16x64xf32>, %w0s_in: tensor<16x64xf32>, %s0: tensor<32x64xf32>, %s1: tensor<32x64xf32>, %s2: tensor<64x32xf32>, %s3: tensor<64x32xf32>, %s4: tensor<64x16xf32>, %s5: tensor<64x16xf32>, %s6: tensor<16xf32>, %s7: tensor<16xf32>, %s8: tensor<64x64xf32>, %s9: tensor<64x64xf32>) {
%w0s = func.call @tt.mark_4(%w0s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xf32>) -> tensor<16x64xf32>
%n1 = stablehlo.dot_general %x0, %w0s, contracting_dims = [1] x [1] : (tensor<16x64xf32>, tensor<16x64xf32>) -> tensor<16x16xf32>
%n2 = stablehlo.dot_general %x1, %s0, contracting_dims = [1] x [1] : (tensor<16x64xf32>, tensor<32x64xf32>) -> tensor<16x32xf32>
%n3 = stablehlo.dot_general %n2, %x1, contracting_dims = [0] x [0] : (tensor<16x32xf32>, tensor<16x64xf32>) -> tensor<32x64xf32>
%n4 = stablehlo.dot_general %x2, %n2, contracting_dims = [0] x [0] : (tensor<16x64xf32>, tensor<16x32xf32>) -> tensor<64x32xf32>
%n5 = stablehlo.dot_general %x2, %n1, contracting_dims = [0] x [0] : (tensor<16x64xf32>, tensor<16x16xf32>) -> tensor<64x16xf32>
%n6_init = stablehlo.constant dense<0.0> : tensor<f32>
%n6 = stablehlo.reduce(%n1 init: %n6_init) applies stablehlo.add across dimensions = [0] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
%n7 = stablehlo.dot_general %x2, %x1, contracting_dims = [0] x [0] : (tensor<16x64xf32>, tensor<16x64xf32>) -> tensor<64x64xf32>
%n8 = stablehlo.dot_general %x1, %x2, contracting_dims = [0] x [0] : (tensor<16x64xf32>, tensor<16x64xf32>) -> tensor<64x64xf32>
%n9 = "stablehlo.all_reduce"(%n7) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, use_global_device_ids} : (tensor<64x64xf32>) -> tensor<64x64xf32>
%n10 = "stablehlo.all_reduce"(%n8) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 2, type = 1>, use_global_device_ids} : (tensor<64x64xf32>) -> tensor<64x64xf32>
%n11 = stablehlo.add %n9, %n10 : tensor<64x64xf32>
%n12 = "stablehlo.all_reduce"(%n3) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 3, type = 1>, use_global_device_ids} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%n13_q = stablehlo.multiply %n12, %n12 : tensor<32x64xf32>
%n13_init = stablehlo.constant dense<0.0> : tensor<f32>
%n13 = stablehlo.reduce(%n13_q init: %n13_init) applies stablehlo.add across dimensions = [1] : (tensor<32x64xf32>, tensor<f32>) -> tensor<32xf32>
%scalar_6_1 = stablehlo.slice %scalars [6:7] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_6 = stablehlo.reshape %scalar_6_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_6_32x64xf32 = stablehlo.broadcast_in_dim %scalar_6, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n14_g = stablehlo.multiply %n12, %scalar_6_32x64xf32 : tensor<32x64xf32>
%scalar_8_1 = stablehlo.slice %scalars [8:9] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_8 = stablehlo.reshape %scalar_8_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_8_32x64xf32 = stablehlo.broadcast_in_dim %scalar_8, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n14_d = stablehlo.multiply %s0, %scalar_8_32x64xf32 : tensor<32x64xf32>
%n14_gd = stablehlo.add %n14_g, %n14_d : tensor<32x64xf32>
%scalar_10_1 = stablehlo.slice %scalars [10:11] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_10 = stablehlo.reshape %scalar_10_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_10_32x64xf32 = stablehlo.broadcast_in_dim %scalar_10, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n14_ma = stablehlo.multiply %s1, %scalar_10_32x64xf32 : tensor<32x64xf32>
%n14_mg = stablehlo.add %n14_ma, %n14_gd : tensor<32x64xf32>
%momentum_0 = stablehlo.constant dense<0.000000000e+00> : tensor<f32>
%momentum = stablehlo.compare GT, %scalar_10, %momentum_0, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
%n14_m = stablehlo.select %momentum, %n14_mg, %s1 : tensor<i1>, tensor<32x64xf32>
%scalar_7_1 = stablehlo.slice %scalars [7:8] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_7 = stablehlo.reshape %scalar_7_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_7_32x64xf32 = stablehlo.broadcast_in_dim %scalar_7, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n14_u = stablehlo.multiply %n14_mg, %scalar_7_32x64xf32 : tensor<32x64xf32>
%n14 = stablehlo.subtract %s0, %n14_u : tensor<32x64xf32>
%n15 = "stablehlo.all_reduce"(%n4) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 4, type = 1>, use_global_device_ids} : (tensor<64x32xf32>) -> tensor<64x32xf32>
%n16_q = stablehlo.multiply %n15, %n15 : tensor<64x32xf32>
%n16_init = stablehlo.constant dense<0.0> : tensor<f32>
%n16 = stablehlo.reduce(%n16_q init: %n16_init) applies stablehlo.add across dimensions = [1] : (tensor<64x32xf32>, tensor<f32>) -> tensor<64xf32>
%n17 = "stablehlo.all_reduce"(%n16) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 5, type = 1>, use_global_device_ids} : (tensor<64xf32>) -> tensor<64xf32>
%scalar_6_64x32xf32 = stablehlo.broadcast_in_dim %scalar_6, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
%n18_g = stablehlo.multiply %n15, %scalar_6_64x32xf32 : tensor<64x32xf32>
%scalar_10_64x32xf32 = stablehlo.broadcast_in_dim %scalar_10, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
%n18_ma = stablehlo.multiply %s3, %scalar_10_64x32xf32 : tensor<64x32xf32>
%n18_mg = stablehlo.add %n18_ma, %n18_g : tensor<64x32xf32>
%n18_m = stablehlo.select %momentum, %n18_mg, %s3 : tensor<i1>, tensor<64x32xf32>
%scalar_7_64x32xf32 = stablehlo.broadcast_in_dim %scalar_7, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
%n18_u = stablehlo.multiply %n18_mg, %scalar_7_64x32xf32 : tensor<64x32xf32>
%n18 = stablehlo.subtract %s2, %n18_u : tensor<64x32xf32>
%n19 = "stablehlo.all_reduce"(%n5) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 6, type = 1>, use_global_device_ids} : (tensor<64x16xf32>) -> tensor<64x16xf32>
%n20_q = stablehlo.multiply %n19, %n19 : tensor<64x16xf32>
%n20_init = stablehlo.constant dense<0.0> : tensor<f32>
%n20 = stablehlo.reduce(%n20_q init: %n20_init) applies stablehlo.add across dimensions = [1] : (tensor<64x16xf32>, tensor<f32>) -> tensor<64xf32>
%n21 = "stablehlo.all_reduce"(%n20) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, channel_handle = #stablehlo.channel_handle<handle = 7, type = 1>, use_global_device_ids} : (tensor<64xf32>) -> tensor<64xf32>
%scalar_6_64x16xf32 = stablehlo.broadcast_in_dim %scalar_6, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n22_g = stablehlo.multiply %n19, %scalar_6_64x16xf32 : tensor<64x16xf32>
%scalar_8_64x16xf32 = stablehlo.broadcast_in_dim %scalar_8, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n22_d = stablehlo.multiply %s4, %scalar_8_64x16xf32 : tensor<64x16xf32>
%n22_gd = stablehlo.add %n22_g, %n22_d : tensor<64x16xf32>
%scalar_10_64x16xf32 = stablehlo.broadcast_in_dim %scalar_10, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n22_ma = stablehlo.multiply %s5, %scalar_10_64x16xf32 : tensor<64x16xf32>
%n22_mg = stablehlo.add %n22_ma, %n22_gd : tensor<64x16xf32>
%n22_m = stablehlo.select %momentum, %n22_mg, %s5 : tensor<i1>, tensor<64x16xf32>
%scalar_7_64x16xf32 = stablehlo.broadcast_in_dim %scalar_7, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n22_u = stablehlo.multiply %n22_mg, %scalar_7_64x16xf32 : tensor<64x16xf32>
%n22 = stablehlo.subtract %s4, %n22_u : tensor<64x16xf32>
%n23 = "stablehlo.all_reduce"(%n6) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.add %a, %b : tensor<f32>
  stablehlo.return %c : tensor<f32>
}) {replica_groups = dense<[[0, 4], [1, 5], [2, 6], [3, 7]]> : tensor<4x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 8, type = 1>, use_global_device_ids} : (tensor<16xf32>) -> tensor<16xf32>
%n24 = stablehlo.multiply %n23, %n23 : tensor<16xf32>
%scalar_6_16xf32 = stablehlo.broadcast_in_dim %scalar_6, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n25_g = stablehlo.multiply %n23, %scalar_6_16xf32 : tensor<16xf32>
%scalar_10_16xf32 = stablehlo.broadcast_in_dim %scalar_10, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n25_ma = stablehlo.multiply %s7, %scalar_10_16xf32 : tensor<16xf32>
%n25_mg = stablehlo.add %n25_ma, %n25_g : tensor<16xf32>
%n25_m = stablehlo.select %momentum, %n25_mg, %s7 : tensor<i1>, tensor<16xf32>
%scalar_7_16xf32 = stablehlo.broadcast_in_dim %scalar_7, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n25_u = stablehlo.multiply %n25_mg, %scalar_7_16xf32 : tensor<16xf32>
%n25 = stablehlo.subtract %s6, %n25_u : tensor<16xf32>
%n26_q = stablehlo.multiply %n11, %n11 : tensor<64x64xf32>
%n26_init = stablehlo.constant dense<0.0> : tensor<f32>
%n26 = stablehlo.reduce(%n26_q init: %n26_init) applies stablehlo.add across dimensions = [1] : (tensor<64x64xf32>, tensor<f32>) -> tensor<64xf32>
%scalar_6_64x64xf32 = stablehlo.broadcast_in_dim %scalar_6, dims = [] : (tensor<f32>) -> tensor<64x64xf32>
%n27_g = stablehlo.multiply %n11, %scalar_6_64x64xf32 : tensor<64x64xf32>
%scalar_8_64x64xf32 = stablehlo.broadcast_in_dim %scalar_8, dims = [] : (tensor<f32>) -> tensor<64x64xf32>
%n27_d = stablehlo.multiply %s8, %scalar_8_64x64xf32 : tensor<64x64xf32>
%n27_gd = stablehlo.add %n27_g, %n27_d : tensor<64x64xf32>
%scalar_10_64x64xf32 = stablehlo.broadcast_in_dim %scalar_10, dims = [] : (tensor<f32>) -> tensor<64x64xf32>
%n27_ma = stablehlo.multiply %s9, %scalar_10_64x64xf32 : tensor<64x64xf32>
%n27_mg = stablehlo.add %n27_ma, %n27_gd : tensor<64x64xf32>
%n27_m = stablehlo.select %momentum, %n27_mg, %s9 : tensor<i1>, tensor<64x64xf32>
%scalar_7_64x64xf32 = stablehlo.broadcast_in_dim %scalar_7, dims = [] : (tensor<f32>) -> tensor<64x64xf32>
%n27_u = stablehlo.multiply %n27_mg, %scalar_7_64x64xf32 : tensor<64x64xf32>
%n27 = stablehlo.subtract %s8, %n27_u : tensor<64x64xf32>
sdy.return %n13, %n17, %n21, %n24, %n26, %n14_m, %n14, %n18_m, %n18, %n22_m, %n22, %n25_m, %n25, %n27_m, %n27 : tensor<32xf32>, tensor<64xf32>, tensor<64xf32>, tensor<16xf32>, tensor<64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x32xf32>, tensor<64x32xf32>, tensor<64x16xf32>, tensor<64x16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<64x64xf32>, tensor<64x64xf32>
} : (tensor<20xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>, tensor<64x128xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64x64xf32>) -> (tensor<128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>, tensor<64x128xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64x64xf32>)
return %R#0, %R#1, %R#2, %R#3, %R#4, %R#5, %R#6, %R#7, %R#8, %R#9, %R#10, %R#11, %R#12, %R#13, %R#14 : tensor<128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>, tensor<64x128xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64x64xf32>
}
func.func private @tt.mark_4(%w: tensor<16x64xf32>) -> tensor<16x64xf32> {
  return %w : tensor<16x64xf32>
}
}
