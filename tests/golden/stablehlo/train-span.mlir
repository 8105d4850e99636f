module @qwenmesh attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=1]>
func.func public @main(%g_labels: tensor<16xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_segment: tensor<16xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_scalars: tensor<20xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_x0: tensor<16x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w0: tensor<2x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) -> (tensor<16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<16x2xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) {
%R:2 = sdy.manual_computation(%g_labels, %g_segment, %g_scalars, %g_x0, %g_w0)
  in_shardings=[<@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>]
  out_shardings=[<@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%labels: tensor<16xi32>, %segment: tensor<16xi32>, %scalars: tensor<20xf32>, %x0: tensor<16x64xf32>, %w0_in: tensor<2x64xf32>) {
%w0 = func.call @tt.mark_4(%w0_in) {ttcore.argument_type = "parameter"} : (tensor<2x64xf32>) -> tensor<2x64xf32>
%n1 = stablehlo.reshape %x0 : (tensor<16x64xf32>) -> tensor<16x64xf32>
%n2 = stablehlo.dot_general %n1, %w0, contracting_dims = [1] x [1] : (tensor<16x64xf32>, tensor<2x64xf32>) -> tensor<16x2xf32>
%span_z = stablehlo.reshape %n2 : (tensor<16x2xf32>) -> tensor<16x2xf32>
%span_r = stablehlo.reshape %n2 : (tensor<16x2xf32>) -> tensor<2x8x2xf32>
%span_g = stablehlo.reshape %segment : (tensor<16xi32>) -> tensor<2x8xi32>
%span_gt = stablehlo.broadcast_in_dim %span_g, dims = [0, 1] : (tensor<2x8xi32>) -> tensor<2x8x8x2xi32>
%span_gu = stablehlo.broadcast_in_dim %span_g, dims = [0, 2] : (tensor<2x8xi32>) -> tensor<2x8x8x2xi32>
%span_own = stablehlo.compare EQ, %span_gt, %span_gu, SIGNED : (tensor<2x8x8x2xi32>, tensor<2x8x8x2xi32>) -> tensor<2x8x8x2xi1>
%span_u = stablehlo.broadcast_in_dim %span_r, dims = [0, 2, 3] : (tensor<2x8x2xf32>) -> tensor<2x8x8x2xf32>
%span_no = stablehlo.constant dense<-3.000000000e+38> : tensor<2x8x8x2xf32>
%span_x = stablehlo.select %span_own, %span_u, %span_no : tensor<2x8x8x2xi1>, tensor<2x8x8x2xf32>
%span_m3_init = stablehlo.constant dense<0xFF800000> : tensor<f32>
%span_m3 = stablehlo.reduce(%span_x init: %span_m3_init) applies stablehlo.maximum across dimensions = [2] : (tensor<2x8x8x2xf32>, tensor<f32>) -> tensor<2x8x2xf32>
%span_mb = stablehlo.broadcast_in_dim %span_m3, dims = [0, 1, 3] : (tensor<2x8x2xf32>) -> tensor<2x8x8x2xf32>
%span_d = stablehlo.subtract %span_x, %span_mb : tensor<2x8x8x2xf32>
%span_e = stablehlo.exponential %span_d : tensor<2x8x8x2xf32>
%span_s3_init = stablehlo.constant dense<0.0> : tensor<f32>
%span_s3 = stablehlo.reduce(%span_e init: %span_s3_init) applies stablehlo.add across dimensions = [2] : (tensor<2x8x8x2xf32>, tensor<f32>) -> tensor<2x8x2xf32>
%span_m = stablehlo.reshape %span_m3 : (tensor<2x8x2xf32>) -> tensor<16x2xf32>
%span_s = stablehlo.reshape %span_s3 : (tensor<2x8x2xf32>) -> tensor<16x2xf32>
%span_k = stablehlo.constant dense<[[1, 2]]> : tensor<1x2xi32>
%span_kb = stablehlo.broadcast_in_dim %span_k, dims = [0, 1] : (tensor<1x2xi32>) -> tensor<16x2xi32>
%span_l = stablehlo.broadcast_in_dim %labels, dims = [0] : (tensor<16xi32>) -> tensor<16x2xi32>
%span_a = stablehlo.and %span_l, %span_kb : tensor<16x2xi32>
%span_right = stablehlo.compare EQ, %span_a, %span_kb, SIGNED : (tensor<16x2xi32>, tensor<16x2xi32>) -> tensor<16x2xi1>
%n3_l = stablehlo.log %span_s : tensor<16x2xf32>
%n3_a = stablehlo.add %n3_l, %span_m : tensor<16x2xf32>
%n3_d = stablehlo.subtract %n3_a, %span_z : tensor<16x2xf32>
%n3_2 = stablehlo.constant dense<5.000000000e-01> : tensor<16x2xf32>
%n3_h = stablehlo.multiply %n3_d, %n3_2 : tensor<16x2xf32>
%n3_0 = stablehlo.constant dense<0.000000000e+00> : tensor<16x2xf32>
%n3_r = stablehlo.select %span_right, %n3_h, %n3_0 : tensor<16x2xi1>, tensor<16x2xf32>
%n3_init = stablehlo.constant dense<0.0> : tensor<f32>
%n3 = stablehlo.reduce(%n3_r init: %n3_init) applies stablehlo.add across dimensions = [1] : (tensor<16x2xf32>, tensor<f32>) -> tensor<16xf32>
%n4_d = stablehlo.subtract %span_z, %span_m : tensor<16x2xf32>
%n4_e = stablehlo.exponential %n4_d : tensor<16x2xf32>
%n4_p = stablehlo.divide %n4_e, %span_s : tensor<16x2xf32>
%n4_r = stablehlo.convert %span_right : (tensor<16x2xi1>) -> tensor<16x2xf32>
%n4_pr = stablehlo.subtract %n4_p, %n4_r : tensor<16x2xf32>
%n4_2 = stablehlo.constant dense<5.000000000e-01> : tensor<16x2xf32>
%scalar_2_1 = stablehlo.slice %scalars [2:3] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_2 = stablehlo.reshape %scalar_2_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_2_16x2xf32 = stablehlo.broadcast_in_dim %scalar_2, dims = [] : (tensor<f32>) -> tensor<16x2xf32>
%n4_w = stablehlo.multiply %scalar_2_16x2xf32, %n4_2 : tensor<16x2xf32>
%n4_g = stablehlo.multiply %n4_pr, %n4_w : tensor<16x2xf32>
%n4_s = stablehlo.broadcast_in_dim %segment, dims = [0] : (tensor<16xi32>) -> tensor<16x2xi32>
%n4_s0 = stablehlo.constant dense<0> : tensor<16x2xi32>
%n4_t = stablehlo.compare GE, %n4_s, %n4_s0, SIGNED : (tensor<16x2xi32>, tensor<16x2xi32>) -> tensor<16x2xi1>
%n4_0 = stablehlo.constant dense<0.000000000e+00> : tensor<16x2xf32>
%n4 = stablehlo.select %n4_t, %n4_g, %n4_0 : tensor<16x2xi1>, tensor<16x2xf32>
sdy.return %n3, %n4 : tensor<16xf32>, tensor<16x2xf32>
} : (tensor<16xi32>, tensor<16xi32>, tensor<20xf32>, tensor<16x64xf32>, tensor<2x64xf32>) -> (tensor<16xf32>, tensor<16x2xf32>)
return %R#0, %R#1 : tensor<16xf32>, tensor<16x2xf32>
}
func.func private @tt.mark_4(%w: tensor<2x64xf32>) -> tensor<2x64xf32> {
  return %w : tensor<2x64xf32>
}
}
