module @qwenmesh attributes {mhlo.num_partitions = 8 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=2, "y"=4]>
func.func public @main(%g_scalars: tensor<20xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_s0: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 2 : i32},
    %g_s1: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_s2: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 0 : i32},
    %g_s3: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 1 : i32},
    %g_s4: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>, tf.aliasing_output = 5 : i32},
    %g_s5: tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>},
    %g_s6: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>, tf.aliasing_output = 3 : i32},
    %g_s7: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>, tf.aliasing_output = 4 : i32},
    %g_s8: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>, tf.aliasing_output = 8 : i32},
    %g_s9: tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    %g_s10: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>, tf.aliasing_output = 6 : i32},
    %g_s11: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>, tf.aliasing_output = 7 : i32},
    %g_s12: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 11 : i32},
    %g_s13: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_s14: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 9 : i32},
    %g_s15: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 10 : i32},
    %g_s16: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>, tf.aliasing_output = 14 : i32},
    %g_s17: tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    %g_s18: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>, tf.aliasing_output = 12 : i32},
    %g_s19: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>, tf.aliasing_output = 13 : i32},
    %g_s20: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 17 : i32},
    %g_s21: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_s22: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 15 : i32},
    %g_s23: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 16 : i32},
    %g_s24: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>, tf.aliasing_output = 20 : i32},
    %g_s25: tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    %g_s26: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>, tf.aliasing_output = 18 : i32},
    %g_s27: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>, tf.aliasing_output = 19 : i32},
    %g_s28: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 23 : i32},
    %g_s29: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_s30: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 21 : i32},
    %g_s31: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 22 : i32},
    %g_s32: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>, tf.aliasing_output = 26 : i32},
    %g_s33: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {"y"}]>},
    %g_s34: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>, tf.aliasing_output = 24 : i32},
    %g_s35: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>, tf.aliasing_output = 25 : i32},
    %g_s36: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>, tf.aliasing_output = 29 : i32},
    %g_s37: tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>},
    %g_s38: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>, tf.aliasing_output = 27 : i32},
    %g_s39: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>, tf.aliasing_output = 28 : i32},
    %g_s40: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 32 : i32},
    %g_s41: tensor<256x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_s42: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 30 : i32},
    %g_s43: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 31 : i32},
    %g_s44: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 35 : i32},
    %g_s45: tensor<256x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_s46: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 33 : i32},
    %g_s47: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 34 : i32},
    %g_s48: tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>, tf.aliasing_output = 38 : i32},
    %g_s49: tensor<128x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {"y"}]>},
    %g_s50: tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>, tf.aliasing_output = 36 : i32},
    %g_s51: tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>, tf.aliasing_output = 37 : i32},
    %g_s52: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>, tf.aliasing_output = 41 : i32},
    %g_s53: tensor<128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>},
    %g_s54: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>, tf.aliasing_output = 39 : i32},
    %g_s55: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>, tf.aliasing_output = 40 : i32},
    %g_s56: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 44 : i32},
    %g_s57: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_s58: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 42 : i32},
    %g_s59: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>, tf.aliasing_output = 43 : i32}) -> (tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>}) {
%R:45 = sdy.manual_computation(%g_scalars, %g_s0, %g_s1, %g_s2, %g_s3, %g_s4, %g_s5, %g_s6, %g_s7, %g_s8, %g_s9, %g_s10, %g_s11, %g_s12, %g_s13, %g_s14, %g_s15, %g_s16, %g_s17, %g_s18, %g_s19, %g_s20, %g_s21, %g_s22, %g_s23, %g_s24, %g_s25, %g_s26, %g_s27, %g_s28, %g_s29, %g_s30, %g_s31, %g_s32, %g_s33, %g_s34, %g_s35, %g_s36, %g_s37, %g_s38, %g_s39, %g_s40, %g_s41, %g_s42, %g_s43, %g_s44, %g_s45, %g_s46, %g_s47, %g_s48, %g_s49, %g_s50, %g_s51, %g_s52, %g_s53, %g_s54, %g_s55, %g_s56, %g_s57, %g_s58, %g_s59)
  in_shardings=[<@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x"}], replicated={"y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"x", "y"}]>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"x", "y"}]>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"x", "y"}]>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{"x"}, {"y"}]>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x"}], replicated={"y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{"x"}, {"y"}]>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x"}], replicated={"y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>]
  out_shardings=[<@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}, {"y"}], replicated={"x"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>, <@mesh, [{"y"}, {}], replicated={"x"}>]
  manual_axes={"x", "y"} (%scalars: tensor<20xf32>, %s0: tensor<16x64xf32>, %s1: tensor<16x64xf32>, %s2: tensor<16x64xf32>, %s3: tensor<16x64xf32>, %s4: tensor<64xf32>, %s5: tensor<64xf32>, %s6: tensor<64xf32>, %s7: tensor<64xf32>, %s8: tensor<16xf32>, %s9: tensor<16xf32>, %s10: tensor<16xf32>, %s11: tensor<16xf32>, %s12: tensor<16x64xf32>, %s13: tensor<16x64xf32>, %s14: tensor<16x64xf32>, %s15: tensor<16x64xf32>, %s16: tensor<16xf32>, %s17: tensor<16xf32>, %s18: tensor<16xf32>, %s19: tensor<16xf32>, %s20: tensor<16x64xf32>, %s21: tensor<16x64xf32>, %s22: tensor<16x64xf32>, %s23: tensor<16x64xf32>, %s24: tensor<16xf32>, %s25: tensor<16xf32>, %s26: tensor<16xf32>, %s27: tensor<16xf32>, %s28: tensor<16x64xf32>, %s29: tensor<16x64xf32>, %s30: tensor<16x64xf32>, %s31: tensor<16x64xf32>, %s32: tensor<64x16xf32>, %s33: tensor<64x16xf32>, %s34: tensor<64x16xf32>, %s35: tensor<64x16xf32>, %s36: tensor<64xf32>, %s37: tensor<64xf32>, %s38: tensor<64xf32>, %s39: tensor<64xf32>, %s40: tensor<32x64xf32>, %s41: tensor<32x64xf32>, %s42: tensor<32x64xf32>, %s43: tensor<32x64xf32>, %s44: tensor<32x64xf32>, %s45: tensor<32x64xf32>, %s46: tensor<32x64xf32>, %s47: tensor<32x64xf32>, %s48: tensor<64x32xf32>, %s49: tensor<64x32xf32>, %s50: tensor<64x32xf32>, %s51: tensor<64x32xf32>, %s52: tensor<64xf32>, %s53: tensor<64xf32>, %s54: tensor<64xf32>, %s55: tensor<64xf32>, %s56: tensor<16x64xf32>, %s57: tensor<16x64xf32>, %s58: tensor<16x64xf32>, %s59: tensor<16x64xf32>) {
%scalar_6_1 = stablehlo.slice %scalars [6:7] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_6 = stablehlo.reshape %scalar_6_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_6_16x64xf32 = stablehlo.broadcast_in_dim %scalar_6, dims = [] : (tensor<f32>) -> tensor<16x64xf32>
%n1_g = stablehlo.multiply %s1, %scalar_6_16x64xf32 : tensor<16x64xf32>
%scalar_14_1 = stablehlo.slice %scalars [14:15] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_14 = stablehlo.reshape %scalar_14_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_14_16x64xf32 = stablehlo.broadcast_in_dim %scalar_14, dims = [] : (tensor<f32>) -> tensor<16x64xf32>
%n1_w = stablehlo.multiply %s0, %scalar_14_16x64xf32 : tensor<16x64xf32>
%scalar_10_1 = stablehlo.slice %scalars [10:11] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_10 = stablehlo.reshape %scalar_10_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_10_16x64xf32 = stablehlo.broadcast_in_dim %scalar_10, dims = [] : (tensor<f32>) -> tensor<16x64xf32>
%n1_ma = stablehlo.multiply %s2, %scalar_10_16x64xf32 : tensor<16x64xf32>
%scalar_11_1 = stablehlo.slice %scalars [11:12] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_11 = stablehlo.reshape %scalar_11_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_11_16x64xf32 = stablehlo.broadcast_in_dim %scalar_11, dims = [] : (tensor<f32>) -> tensor<16x64xf32>
%n1_mb = stablehlo.multiply %n1_g, %scalar_11_16x64xf32 : tensor<16x64xf32>
%n1_m = stablehlo.add %n1_ma, %n1_mb : tensor<16x64xf32>
%scalar_12_1 = stablehlo.slice %scalars [12:13] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_12 = stablehlo.reshape %scalar_12_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_12_16x64xf32 = stablehlo.broadcast_in_dim %scalar_12, dims = [] : (tensor<f32>) -> tensor<16x64xf32>
%n1_va = stablehlo.multiply %s3, %scalar_12_16x64xf32 : tensor<16x64xf32>
%n1_gg = stablehlo.multiply %n1_g, %n1_g : tensor<16x64xf32>
%scalar_13_1 = stablehlo.slice %scalars [13:14] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_13 = stablehlo.reshape %scalar_13_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_13_16x64xf32 = stablehlo.broadcast_in_dim %scalar_13, dims = [] : (tensor<f32>) -> tensor<16x64xf32>
%n1_vb = stablehlo.multiply %n1_gg, %scalar_13_16x64xf32 : tensor<16x64xf32>
%n1_v = stablehlo.add %n1_va, %n1_vb : tensor<16x64xf32>
%n1_vr = stablehlo.sqrt %n1_v : tensor<16x64xf32>
%scalar_16_1 = stablehlo.slice %scalars [16:17] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_16 = stablehlo.reshape %scalar_16_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_16_16x64xf32 = stablehlo.broadcast_in_dim %scalar_16, dims = [] : (tensor<f32>) -> tensor<16x64xf32>
%n1_vc = stablehlo.divide %n1_vr, %scalar_16_16x64xf32 : tensor<16x64xf32>
%scalar_9_1 = stablehlo.slice %scalars [9:10] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_9 = stablehlo.reshape %scalar_9_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_9_16x64xf32 = stablehlo.broadcast_in_dim %scalar_9, dims = [] : (tensor<f32>) -> tensor<16x64xf32>
%n1_ve = stablehlo.add %n1_vc, %scalar_9_16x64xf32 : tensor<16x64xf32>
%scalar_15_1 = stablehlo.slice %scalars [15:16] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_15 = stablehlo.reshape %scalar_15_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_15_16x64xf32 = stablehlo.broadcast_in_dim %scalar_15, dims = [] : (tensor<f32>) -> tensor<16x64xf32>
%n1_ms = stablehlo.multiply %n1_m, %scalar_15_16x64xf32 : tensor<16x64xf32>
%n1_u = stablehlo.divide %n1_ms, %n1_ve : tensor<16x64xf32>
%n1 = stablehlo.subtract %n1_w, %n1_u : tensor<16x64xf32>
%scalar_6_64xf32 = stablehlo.broadcast_in_dim %scalar_6, dims = [] : (tensor<f32>) -> tensor<64xf32>
%n2_g = stablehlo.multiply %s5, %scalar_6_64xf32 : tensor<64xf32>
%scalar_10_64xf32 = stablehlo.broadcast_in_dim %scalar_10, dims = [] : (tensor<f32>) -> tensor<64xf32>
%n2_ma = stablehlo.multiply %s6, %scalar_10_64xf32 : tensor<64xf32>
%scalar_11_64xf32 = stablehlo.broadcast_in_dim %scalar_11, dims = [] : (tensor<f32>) -> tensor<64xf32>
%n2_mb = stablehlo.multiply %n2_g, %scalar_11_64xf32 : tensor<64xf32>
%n2_m = stablehlo.add %n2_ma, %n2_mb : tensor<64xf32>
%scalar_12_64xf32 = stablehlo.broadcast_in_dim %scalar_12, dims = [] : (tensor<f32>) -> tensor<64xf32>
%n2_va = stablehlo.multiply %s7, %scalar_12_64xf32 : tensor<64xf32>
%n2_gg = stablehlo.multiply %n2_g, %n2_g : tensor<64xf32>
%scalar_13_64xf32 = stablehlo.broadcast_in_dim %scalar_13, dims = [] : (tensor<f32>) -> tensor<64xf32>
%n2_vb = stablehlo.multiply %n2_gg, %scalar_13_64xf32 : tensor<64xf32>
%n2_v = stablehlo.add %n2_va, %n2_vb : tensor<64xf32>
%n2_vr = stablehlo.sqrt %n2_v : tensor<64xf32>
%scalar_16_64xf32 = stablehlo.broadcast_in_dim %scalar_16, dims = [] : (tensor<f32>) -> tensor<64xf32>
%n2_vc = stablehlo.divide %n2_vr, %scalar_16_64xf32 : tensor<64xf32>
%scalar_9_64xf32 = stablehlo.broadcast_in_dim %scalar_9, dims = [] : (tensor<f32>) -> tensor<64xf32>
%n2_ve = stablehlo.add %n2_vc, %scalar_9_64xf32 : tensor<64xf32>
%scalar_15_64xf32 = stablehlo.broadcast_in_dim %scalar_15, dims = [] : (tensor<f32>) -> tensor<64xf32>
%n2_ms = stablehlo.multiply %n2_m, %scalar_15_64xf32 : tensor<64xf32>
%n2_u = stablehlo.divide %n2_ms, %n2_ve : tensor<64xf32>
%n2 = stablehlo.subtract %s4, %n2_u : tensor<64xf32>
%scalar_6_16xf32 = stablehlo.broadcast_in_dim %scalar_6, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n3_g = stablehlo.multiply %s9, %scalar_6_16xf32 : tensor<16xf32>
%scalar_10_16xf32 = stablehlo.broadcast_in_dim %scalar_10, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n3_ma = stablehlo.multiply %s10, %scalar_10_16xf32 : tensor<16xf32>
%scalar_11_16xf32 = stablehlo.broadcast_in_dim %scalar_11, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n3_mb = stablehlo.multiply %n3_g, %scalar_11_16xf32 : tensor<16xf32>
%n3_m = stablehlo.add %n3_ma, %n3_mb : tensor<16xf32>
%scalar_12_16xf32 = stablehlo.broadcast_in_dim %scalar_12, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n3_va = stablehlo.multiply %s11, %scalar_12_16xf32 : tensor<16xf32>
%n3_gg = stablehlo.multiply %n3_g, %n3_g : tensor<16xf32>
%scalar_13_16xf32 = stablehlo.broadcast_in_dim %scalar_13, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n3_vb = stablehlo.multiply %n3_gg, %scalar_13_16xf32 : tensor<16xf32>
%n3_v = stablehlo.add %n3_va, %n3_vb : tensor<16xf32>
%n3_vr = stablehlo.sqrt %n3_v : tensor<16xf32>
%scalar_16_16xf32 = stablehlo.broadcast_in_dim %scalar_16, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n3_vc = stablehlo.divide %n3_vr, %scalar_16_16xf32 : tensor<16xf32>
%scalar_9_16xf32 = stablehlo.broadcast_in_dim %scalar_9, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n3_ve = stablehlo.add %n3_vc, %scalar_9_16xf32 : tensor<16xf32>
%scalar_15_16xf32 = stablehlo.broadcast_in_dim %scalar_15, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n3_ms = stablehlo.multiply %n3_m, %scalar_15_16xf32 : tensor<16xf32>
%n3_u = stablehlo.divide %n3_ms, %n3_ve : tensor<16xf32>
%n3 = stablehlo.subtract %s8, %n3_u : tensor<16xf32>
%n4_g = stablehlo.multiply %s13, %scalar_6_16x64xf32 : tensor<16x64xf32>
%n4_w = stablehlo.multiply %s12, %scalar_14_16x64xf32 : tensor<16x64xf32>
%n4_ma = stablehlo.multiply %s14, %scalar_10_16x64xf32 : tensor<16x64xf32>
%n4_mb = stablehlo.multiply %n4_g, %scalar_11_16x64xf32 : tensor<16x64xf32>
%n4_m = stablehlo.add %n4_ma, %n4_mb : tensor<16x64xf32>
%n4_va = stablehlo.multiply %s15, %scalar_12_16x64xf32 : tensor<16x64xf32>
%n4_gg = stablehlo.multiply %n4_g, %n4_g : tensor<16x64xf32>
%n4_vb = stablehlo.multiply %n4_gg, %scalar_13_16x64xf32 : tensor<16x64xf32>
%n4_v = stablehlo.add %n4_va, %n4_vb : tensor<16x64xf32>
%n4_vr = stablehlo.sqrt %n4_v : tensor<16x64xf32>
%n4_vc = stablehlo.divide %n4_vr, %scalar_16_16x64xf32 : tensor<16x64xf32>
%n4_ve = stablehlo.add %n4_vc, %scalar_9_16x64xf32 : tensor<16x64xf32>
%n4_ms = stablehlo.multiply %n4_m, %scalar_15_16x64xf32 : tensor<16x64xf32>
%n4_u = stablehlo.divide %n4_ms, %n4_ve : tensor<16x64xf32>
%n4 = stablehlo.subtract %n4_w, %n4_u : tensor<16x64xf32>
%n5_g = stablehlo.multiply %s17, %scalar_6_16xf32 : tensor<16xf32>
%n5_ma = stablehlo.multiply %s18, %scalar_10_16xf32 : tensor<16xf32>
%n5_mb = stablehlo.multiply %n5_g, %scalar_11_16xf32 : tensor<16xf32>
%n5_m = stablehlo.add %n5_ma, %n5_mb : tensor<16xf32>
%n5_va = stablehlo.multiply %s19, %scalar_12_16xf32 : tensor<16xf32>
%n5_gg = stablehlo.multiply %n5_g, %n5_g : tensor<16xf32>
%n5_vb = stablehlo.multiply %n5_gg, %scalar_13_16xf32 : tensor<16xf32>
%n5_v = stablehlo.add %n5_va, %n5_vb : tensor<16xf32>
%n5_vr = stablehlo.sqrt %n5_v : tensor<16xf32>
%n5_vc = stablehlo.divide %n5_vr, %scalar_16_16xf32 : tensor<16xf32>
%n5_ve = stablehlo.add %n5_vc, %scalar_9_16xf32 : tensor<16xf32>
%n5_ms = stablehlo.multiply %n5_m, %scalar_15_16xf32 : tensor<16xf32>
%n5_u = stablehlo.divide %n5_ms, %n5_ve : tensor<16xf32>
%n5 = stablehlo.subtract %s16, %n5_u : tensor<16xf32>
%n6_g = stablehlo.multiply %s21, %scalar_6_16x64xf32 : tensor<16x64xf32>
%n6_w = stablehlo.multiply %s20, %scalar_14_16x64xf32 : tensor<16x64xf32>
%n6_ma = stablehlo.multiply %s22, %scalar_10_16x64xf32 : tensor<16x64xf32>
%n6_mb = stablehlo.multiply %n6_g, %scalar_11_16x64xf32 : tensor<16x64xf32>
%n6_m = stablehlo.add %n6_ma, %n6_mb : tensor<16x64xf32>
%n6_va = stablehlo.multiply %s23, %scalar_12_16x64xf32 : tensor<16x64xf32>
%n6_gg = stablehlo.multiply %n6_g, %n6_g : tensor<16x64xf32>
%n6_vb = stablehlo.multiply %n6_gg, %scalar_13_16x64xf32 : tensor<16x64xf32>
%n6_v = stablehlo.add %n6_va, %n6_vb : tensor<16x64xf32>
%n6_vr = stablehlo.sqrt %n6_v : tensor<16x64xf32>
%n6_vc = stablehlo.divide %n6_vr, %scalar_16_16x64xf32 : tensor<16x64xf32>
%n6_ve = stablehlo.add %n6_vc, %scalar_9_16x64xf32 : tensor<16x64xf32>
%n6_ms = stablehlo.multiply %n6_m, %scalar_15_16x64xf32 : tensor<16x64xf32>
%n6_u = stablehlo.divide %n6_ms, %n6_ve : tensor<16x64xf32>
%n6 = stablehlo.subtract %n6_w, %n6_u : tensor<16x64xf32>
%n7_g = stablehlo.multiply %s25, %scalar_6_16xf32 : tensor<16xf32>
%n7_ma = stablehlo.multiply %s26, %scalar_10_16xf32 : tensor<16xf32>
%n7_mb = stablehlo.multiply %n7_g, %scalar_11_16xf32 : tensor<16xf32>
%n7_m = stablehlo.add %n7_ma, %n7_mb : tensor<16xf32>
%n7_va = stablehlo.multiply %s27, %scalar_12_16xf32 : tensor<16xf32>
%n7_gg = stablehlo.multiply %n7_g, %n7_g : tensor<16xf32>
%n7_vb = stablehlo.multiply %n7_gg, %scalar_13_16xf32 : tensor<16xf32>
%n7_v = stablehlo.add %n7_va, %n7_vb : tensor<16xf32>
%n7_vr = stablehlo.sqrt %n7_v : tensor<16xf32>
%n7_vc = stablehlo.divide %n7_vr, %scalar_16_16xf32 : tensor<16xf32>
%n7_ve = stablehlo.add %n7_vc, %scalar_9_16xf32 : tensor<16xf32>
%n7_ms = stablehlo.multiply %n7_m, %scalar_15_16xf32 : tensor<16xf32>
%n7_u = stablehlo.divide %n7_ms, %n7_ve : tensor<16xf32>
%n7 = stablehlo.subtract %s24, %n7_u : tensor<16xf32>
%n8_g = stablehlo.multiply %s29, %scalar_6_16x64xf32 : tensor<16x64xf32>
%n8_w = stablehlo.multiply %s28, %scalar_14_16x64xf32 : tensor<16x64xf32>
%n8_ma = stablehlo.multiply %s30, %scalar_10_16x64xf32 : tensor<16x64xf32>
%n8_mb = stablehlo.multiply %n8_g, %scalar_11_16x64xf32 : tensor<16x64xf32>
%n8_m = stablehlo.add %n8_ma, %n8_mb : tensor<16x64xf32>
%n8_va = stablehlo.multiply %s31, %scalar_12_16x64xf32 : tensor<16x64xf32>
%n8_gg = stablehlo.multiply %n8_g, %n8_g : tensor<16x64xf32>
%n8_vb = stablehlo.multiply %n8_gg, %scalar_13_16x64xf32 : tensor<16x64xf32>
%n8_v = stablehlo.add %n8_va, %n8_vb : tensor<16x64xf32>
%n8_vr = stablehlo.sqrt %n8_v : tensor<16x64xf32>
%n8_vc = stablehlo.divide %n8_vr, %scalar_16_16x64xf32 : tensor<16x64xf32>
%n8_ve = stablehlo.add %n8_vc, %scalar_9_16x64xf32 : tensor<16x64xf32>
%n8_ms = stablehlo.multiply %n8_m, %scalar_15_16x64xf32 : tensor<16x64xf32>
%n8_u = stablehlo.divide %n8_ms, %n8_ve : tensor<16x64xf32>
%n8 = stablehlo.subtract %n8_w, %n8_u : tensor<16x64xf32>
%scalar_6_64x16xf32 = stablehlo.broadcast_in_dim %scalar_6, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n9_g = stablehlo.multiply %s33, %scalar_6_64x16xf32 : tensor<64x16xf32>
%scalar_14_64x16xf32 = stablehlo.broadcast_in_dim %scalar_14, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n9_w = stablehlo.multiply %s32, %scalar_14_64x16xf32 : tensor<64x16xf32>
%scalar_10_64x16xf32 = stablehlo.broadcast_in_dim %scalar_10, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n9_ma = stablehlo.multiply %s34, %scalar_10_64x16xf32 : tensor<64x16xf32>
%scalar_11_64x16xf32 = stablehlo.broadcast_in_dim %scalar_11, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n9_mb = stablehlo.multiply %n9_g, %scalar_11_64x16xf32 : tensor<64x16xf32>
%n9_m = stablehlo.add %n9_ma, %n9_mb : tensor<64x16xf32>
%scalar_12_64x16xf32 = stablehlo.broadcast_in_dim %scalar_12, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n9_va = stablehlo.multiply %s35, %scalar_12_64x16xf32 : tensor<64x16xf32>
%n9_gg = stablehlo.multiply %n9_g, %n9_g : tensor<64x16xf32>
%scalar_13_64x16xf32 = stablehlo.broadcast_in_dim %scalar_13, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n9_vb = stablehlo.multiply %n9_gg, %scalar_13_64x16xf32 : tensor<64x16xf32>
%n9_v = stablehlo.add %n9_va, %n9_vb : tensor<64x16xf32>
%n9_vr = stablehlo.sqrt %n9_v : tensor<64x16xf32>
%scalar_16_64x16xf32 = stablehlo.broadcast_in_dim %scalar_16, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n9_vc = stablehlo.divide %n9_vr, %scalar_16_64x16xf32 : tensor<64x16xf32>
%scalar_9_64x16xf32 = stablehlo.broadcast_in_dim %scalar_9, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n9_ve = stablehlo.add %n9_vc, %scalar_9_64x16xf32 : tensor<64x16xf32>
%scalar_15_64x16xf32 = stablehlo.broadcast_in_dim %scalar_15, dims = [] : (tensor<f32>) -> tensor<64x16xf32>
%n9_ms = stablehlo.multiply %n9_m, %scalar_15_64x16xf32 : tensor<64x16xf32>
%n9_u = stablehlo.divide %n9_ms, %n9_ve : tensor<64x16xf32>
%n9 = stablehlo.subtract %n9_w, %n9_u : tensor<64x16xf32>
%n10_g = stablehlo.multiply %s37, %scalar_6_64xf32 : tensor<64xf32>
%n10_ma = stablehlo.multiply %s38, %scalar_10_64xf32 : tensor<64xf32>
%n10_mb = stablehlo.multiply %n10_g, %scalar_11_64xf32 : tensor<64xf32>
%n10_m = stablehlo.add %n10_ma, %n10_mb : tensor<64xf32>
%n10_va = stablehlo.multiply %s39, %scalar_12_64xf32 : tensor<64xf32>
%n10_gg = stablehlo.multiply %n10_g, %n10_g : tensor<64xf32>
%n10_vb = stablehlo.multiply %n10_gg, %scalar_13_64xf32 : tensor<64xf32>
%n10_v = stablehlo.add %n10_va, %n10_vb : tensor<64xf32>
%n10_vr = stablehlo.sqrt %n10_v : tensor<64xf32>
%n10_vc = stablehlo.divide %n10_vr, %scalar_16_64xf32 : tensor<64xf32>
%n10_ve = stablehlo.add %n10_vc, %scalar_9_64xf32 : tensor<64xf32>
%n10_ms = stablehlo.multiply %n10_m, %scalar_15_64xf32 : tensor<64xf32>
%n10_u = stablehlo.divide %n10_ms, %n10_ve : tensor<64xf32>
%n10 = stablehlo.subtract %s36, %n10_u : tensor<64xf32>
%scalar_6_32x64xf32 = stablehlo.broadcast_in_dim %scalar_6, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n11_g = stablehlo.multiply %s41, %scalar_6_32x64xf32 : tensor<32x64xf32>
%scalar_14_32x64xf32 = stablehlo.broadcast_in_dim %scalar_14, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n11_w = stablehlo.multiply %s40, %scalar_14_32x64xf32 : tensor<32x64xf32>
%scalar_10_32x64xf32 = stablehlo.broadcast_in_dim %scalar_10, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n11_ma = stablehlo.multiply %s42, %scalar_10_32x64xf32 : tensor<32x64xf32>
%scalar_11_32x64xf32 = stablehlo.broadcast_in_dim %scalar_11, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n11_mb = stablehlo.multiply %n11_g, %scalar_11_32x64xf32 : tensor<32x64xf32>
%n11_m = stablehlo.add %n11_ma, %n11_mb : tensor<32x64xf32>
%scalar_12_32x64xf32 = stablehlo.broadcast_in_dim %scalar_12, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n11_va = stablehlo.multiply %s43, %scalar_12_32x64xf32 : tensor<32x64xf32>
%n11_gg = stablehlo.multiply %n11_g, %n11_g : tensor<32x64xf32>
%scalar_13_32x64xf32 = stablehlo.broadcast_in_dim %scalar_13, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n11_vb = stablehlo.multiply %n11_gg, %scalar_13_32x64xf32 : tensor<32x64xf32>
%n11_v = stablehlo.add %n11_va, %n11_vb : tensor<32x64xf32>
%n11_vr = stablehlo.sqrt %n11_v : tensor<32x64xf32>
%scalar_16_32x64xf32 = stablehlo.broadcast_in_dim %scalar_16, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n11_vc = stablehlo.divide %n11_vr, %scalar_16_32x64xf32 : tensor<32x64xf32>
%scalar_9_32x64xf32 = stablehlo.broadcast_in_dim %scalar_9, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n11_ve = stablehlo.add %n11_vc, %scalar_9_32x64xf32 : tensor<32x64xf32>
%scalar_15_32x64xf32 = stablehlo.broadcast_in_dim %scalar_15, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
%n11_ms = stablehlo.multiply %n11_m, %scalar_15_32x64xf32 : tensor<32x64xf32>
%n11_u = stablehlo.divide %n11_ms, %n11_ve : tensor<32x64xf32>
%n11 = stablehlo.subtract %n11_w, %n11_u : tensor<32x64xf32>
%n12_g = stablehlo.multiply %s45, %scalar_6_32x64xf32 : tensor<32x64xf32>
%n12_w = stablehlo.multiply %s44, %scalar_14_32x64xf32 : tensor<32x64xf32>
%n12_ma = stablehlo.multiply %s46, %scalar_10_32x64xf32 : tensor<32x64xf32>
%n12_mb = stablehlo.multiply %n12_g, %scalar_11_32x64xf32 : tensor<32x64xf32>
%n12_m = stablehlo.add %n12_ma, %n12_mb : tensor<32x64xf32>
%n12_va = stablehlo.multiply %s47, %scalar_12_32x64xf32 : tensor<32x64xf32>
%n12_gg = stablehlo.multiply %n12_g, %n12_g : tensor<32x64xf32>
%n12_vb = stablehlo.multiply %n12_gg, %scalar_13_32x64xf32 : tensor<32x64xf32>
%n12_v = stablehlo.add %n12_va, %n12_vb : tensor<32x64xf32>
%n12_vr = stablehlo.sqrt %n12_v : tensor<32x64xf32>
%n12_vc = stablehlo.divide %n12_vr, %scalar_16_32x64xf32 : tensor<32x64xf32>
%n12_ve = stablehlo.add %n12_vc, %scalar_9_32x64xf32 : tensor<32x64xf32>
%n12_ms = stablehlo.multiply %n12_m, %scalar_15_32x64xf32 : tensor<32x64xf32>
%n12_u = stablehlo.divide %n12_ms, %n12_ve : tensor<32x64xf32>
%n12 = stablehlo.subtract %n12_w, %n12_u : tensor<32x64xf32>
%scalar_6_64x32xf32 = stablehlo.broadcast_in_dim %scalar_6, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
%n13_g = stablehlo.multiply %s49, %scalar_6_64x32xf32 : tensor<64x32xf32>
%scalar_14_64x32xf32 = stablehlo.broadcast_in_dim %scalar_14, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
%n13_w = stablehlo.multiply %s48, %scalar_14_64x32xf32 : tensor<64x32xf32>
%scalar_10_64x32xf32 = stablehlo.broadcast_in_dim %scalar_10, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
%n13_ma = stablehlo.multiply %s50, %scalar_10_64x32xf32 : tensor<64x32xf32>
%scalar_11_64x32xf32 = stablehlo.broadcast_in_dim %scalar_11, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
%n13_mb = stablehlo.multiply %n13_g, %scalar_11_64x32xf32 : tensor<64x32xf32>
%n13_m = stablehlo.add %n13_ma, %n13_mb : tensor<64x32xf32>
%scalar_12_64x32xf32 = stablehlo.broadcast_in_dim %scalar_12, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
%n13_va = stablehlo.multiply %s51, %scalar_12_64x32xf32 : tensor<64x32xf32>
%n13_gg = stablehlo.multiply %n13_g, %n13_g : tensor<64x32xf32>
%scalar_13_64x32xf32 = stablehlo.broadcast_in_dim %scalar_13, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
%n13_vb = stablehlo.multiply %n13_gg, %scalar_13_64x32xf32 : tensor<64x32xf32>
%n13_v = stablehlo.add %n13_va, %n13_vb : tensor<64x32xf32>
%n13_vr = stablehlo.sqrt %n13_v : tensor<64x32xf32>
%scalar_16_64x32xf32 = stablehlo.broadcast_in_dim %scalar_16, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
%n13_vc = stablehlo.divide %n13_vr, %scalar_16_64x32xf32 : tensor<64x32xf32>
%scalar_9_64x32xf32 = stablehlo.broadcast_in_dim %scalar_9, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
%n13_ve = stablehlo.add %n13_vc, %scalar_9_64x32xf32 : tensor<64x32xf32>
%scalar_15_64x32xf32 = stablehlo.broadcast_in_dim %scalar_15, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
%n13_ms = stablehlo.multiply %n13_m, %scalar_15_64x32xf32 : tensor<64x32xf32>
%n13_u = stablehlo.divide %n13_ms, %n13_ve : tensor<64x32xf32>
%n13 = stablehlo.subtract %n13_w, %n13_u : tensor<64x32xf32>
%n14_g = stablehlo.multiply %s53, %scalar_6_64xf32 : tensor<64xf32>
%n14_ma = stablehlo.multiply %s54, %scalar_10_64xf32 : tensor<64xf32>
%n14_mb = stablehlo.multiply %n14_g, %scalar_11_64xf32 : tensor<64xf32>
%n14_m = stablehlo.add %n14_ma, %n14_mb : tensor<64xf32>
%n14_va = stablehlo.multiply %s55, %scalar_12_64xf32 : tensor<64xf32>
%n14_gg = stablehlo.multiply %n14_g, %n14_g : tensor<64xf32>
%n14_vb = stablehlo.multiply %n14_gg, %scalar_13_64xf32 : tensor<64xf32>
%n14_v = stablehlo.add %n14_va, %n14_vb : tensor<64xf32>
%n14_vr = stablehlo.sqrt %n14_v : tensor<64xf32>
%n14_vc = stablehlo.divide %n14_vr, %scalar_16_64xf32 : tensor<64xf32>
%n14_ve = stablehlo.add %n14_vc, %scalar_9_64xf32 : tensor<64xf32>
%n14_ms = stablehlo.multiply %n14_m, %scalar_15_64xf32 : tensor<64xf32>
%n14_u = stablehlo.divide %n14_ms, %n14_ve : tensor<64xf32>
%n14 = stablehlo.subtract %s52, %n14_u : tensor<64xf32>
%n15_g = stablehlo.multiply %s57, %scalar_6_16x64xf32 : tensor<16x64xf32>
%n15_w = stablehlo.multiply %s56, %scalar_14_16x64xf32 : tensor<16x64xf32>
%n15_ma = stablehlo.multiply %s58, %scalar_10_16x64xf32 : tensor<16x64xf32>
%n15_mb = stablehlo.multiply %n15_g, %scalar_11_16x64xf32 : tensor<16x64xf32>
%n15_m = stablehlo.add %n15_ma, %n15_mb : tensor<16x64xf32>
%n15_va = stablehlo.multiply %s59, %scalar_12_16x64xf32 : tensor<16x64xf32>
%n15_gg = stablehlo.multiply %n15_g, %n15_g : tensor<16x64xf32>
%n15_vb = stablehlo.multiply %n15_gg, %scalar_13_16x64xf32 : tensor<16x64xf32>
%n15_v = stablehlo.add %n15_va, %n15_vb : tensor<16x64xf32>
%n15_vr = stablehlo.sqrt %n15_v : tensor<16x64xf32>
%n15_vc = stablehlo.divide %n15_vr, %scalar_16_16x64xf32 : tensor<16x64xf32>
%n15_ve = stablehlo.add %n15_vc, %scalar_9_16x64xf32 : tensor<16x64xf32>
%n15_ms = stablehlo.multiply %n15_m, %scalar_15_16x64xf32 : tensor<16x64xf32>
%n15_u = stablehlo.divide %n15_ms, %n15_ve : tensor<16x64xf32>
%n15 = stablehlo.subtract %n15_w, %n15_u : tensor<16x64xf32>
sdy.return %n1_m, %n1_v, %n1, %n2_m, %n2_v, %n2, %n3_m, %n3_v, %n3, %n4_m, %n4_v, %n4, %n5_m, %n5_v, %n5, %n6_m, %n6_v, %n6, %n7_m, %n7_v, %n7, %n8_m, %n8_v, %n8, %n9_m, %n9_v, %n9, %n10_m, %n10_v, %n10, %n11_m, %n11_v, %n11, %n12_m, %n12_v, %n12, %n13_m, %n13_v, %n13, %n14_m, %n14_v, %n14, %n15_m, %n15_v, %n15 : tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<64x16xf32>, tensor<64x16xf32>, tensor<64x16xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x32xf32>, tensor<64x32xf32>, tensor<64x32xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32>
} : (tensor<20xf32>, tensor<64x64xf32>, tensor<128x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<128x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<128x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<128x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<128x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<128x64xf32>, tensor<256x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<256x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>, tensor<128x128xf32>, tensor<64x128xf32>, tensor<64x128xf32>, tensor<64xf32>, tensor<128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<128x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>) -> (tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>, tensor<64x128xf32>, tensor<64x128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>)
return %R#0, %R#1, %R#2, %R#3, %R#4, %R#5, %R#6, %R#7, %R#8, %R#9, %R#10, %R#11, %R#12, %R#13, %R#14, %R#15, %R#16, %R#17, %R#18, %R#19, %R#20, %R#21, %R#22, %R#23, %R#24, %R#25, %R#26, %R#27, %R#28, %R#29, %R#30, %R#31, %R#32, %R#33, %R#34, %R#35, %R#36, %R#37, %R#38, %R#39, %R#40, %R#41, %R#42, %R#43, %R#44 : tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>, tensor<64x128xf32>, tensor<64x128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>
}
}
