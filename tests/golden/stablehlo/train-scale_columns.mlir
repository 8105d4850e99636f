module @qwenmesh attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=1]>
func.func public @main(%g_scalars: tensor<20xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_x0: tensor<16x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_x1: tensor<16x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_x2: tensor<16x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_x3: tensor<16x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w0: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w1: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_s0: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>, tf.aliasing_output = 0 : i32},
    %g_s1: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>, tf.aliasing_output = 1 : i32}) -> (tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}) {
%R:2 = sdy.manual_computation(%g_scalars, %g_x0, %g_x1, %g_x2, %g_x3, %g_w0, %g_w1, %g_s0, %g_s1)
  in_shardings=[<@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}]>, <@mesh, [{}], replicated={"x", "y"}>]
  out_shardings=[<@mesh, [{"x", "y"}]>, <@mesh, [{}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%scalars: tensor<20xf32>, %x0: tensor<16x64xf32>, %x1: tensor<16x64xf32>, %x2: tensor<16x64xf32>, %x3: tensor<16x64xf32>, %w0_in: tensor<64x64xf32>, %w1_in: tensor<64x64xf32>, %s0: tensor<64xf32>, %s1: tensor<64xf32>) {
%w0 = func.call @tt.mark_5(%w0_in) {ttcore.argument_type = "parameter"} : (tensor<64x64xf32>) -> tensor<64x64xf32>
%w1 = func.call @tt.mark_5(%w1_in) {ttcore.argument_type = "parameter"} : (tensor<64x64xf32>) -> tensor<64x64xf32>
%n1 = stablehlo.dot_general %x0, %w0, contracting_dims = [1] x [1] : (tensor<16x64xf32>, tensor<64x64xf32>) -> tensor<16x64xf32>
%n2 = stablehlo.dot_general %x1, %w1, contracting_dims = [1] x [1] : (tensor<16x64xf32>, tensor<64x64xf32>) -> tensor<16x64xf32>
%n3_p = stablehlo.multiply %n1, %n2 : tensor<16x64xf32>
%n3_d_init = stablehlo.constant dense<0.0> : tensor<f32>
%n3_d = stablehlo.reduce(%n3_p init: %n3_d_init) applies stablehlo.add across dimensions = [0] : (tensor<16x64xf32>, tensor<f32>) -> tensor<64xf32>
%fresh_0 = stablehlo.constant dense<0.0> : tensor<f32>
%scalar_0_1 = stablehlo.slice %scalars [0:1] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_0 = stablehlo.reshape %scalar_0_1 : (tensor<1xf32>) -> tensor<f32>
%fresh = stablehlo.compare NE, %scalar_0, %fresh_0, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
%n3_0 = stablehlo.constant dense<0.000000000e+00> : tensor<64xf32>
%n3_h = stablehlo.select %fresh, %n3_0, %s0 : tensor<i1>, tensor<64xf32>
%n3 = stablehlo.add %n3_h, %n3_d : tensor<64xf32>
%n4_p = stablehlo.multiply %x3, %x2 : tensor<16x64xf32>
%n4_d_init = stablehlo.constant dense<0.0> : tensor<f32>
%n4_d = stablehlo.reduce(%n4_p init: %n4_d_init) applies stablehlo.add across dimensions = [0] : (tensor<16x64xf32>, tensor<f32>) -> tensor<64xf32>
%n4_0 = stablehlo.constant dense<0.000000000e+00> : tensor<64xf32>
%n4_h = stablehlo.select %fresh, %n4_0, %s1 : tensor<i1>, tensor<64xf32>
%n4 = stablehlo.add %n4_h, %n4_d : tensor<64xf32>
sdy.return %n3, %n4 : tensor<64xf32>, tensor<64xf32>
} : (tensor<20xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>) -> (tensor<64xf32>, tensor<64xf32>)
return %R#0, %R#1 : tensor<64xf32>, tensor<64xf32>
}
func.func private @tt.mark_5(%w: tensor<64x64xf32>) -> tensor<64x64xf32> {
  return %w : tensor<64x64xf32>
}
}
