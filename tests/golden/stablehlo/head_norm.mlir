module @qwenmesh attributes {mhlo.num_partitions = 2 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=2]>
func.func public @main(%g_n5: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w2s: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w1: tensor<16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}) -> (tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>}) {
%R:1 = sdy.manual_computation(%g_n5, %g_w2s, %g_w1)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{}], replicated={"x", "y"}>]
  out_shardings=[<@mesh, [{}, {"x", "y"}]>]
  manual_axes={"x", "y"} (%n5: tensor<8x64xf32>, %w2s_in: tensor<32x64xf32>, %w1_in: tensor<16xf32>) {
%w2s = func.call @tt.mark_1(%w2s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%w1 = func.call @tt.mark_2(%w1_in) {ttcore.argument_type = "parameter"} : (tensor<16xf32>) -> tensor<16xf32>
%n6 = stablehlo.dot_general %n5, %w2s, contracting_dims = [1] x [1] : (tensor<8x64xf32>, tensor<32x64xf32>) -> tensor<8x32xf32>
%n7_x = stablehlo.reshape %n6 : (tensor<8x32xf32>) -> tensor<16x16xf32>
%n7_y = stablehlo.composite "tenstorrent.rms_norm" %n7_x, %w1 {composite_attributes = {epsilon = 9.999999975e-07 : f32, normalized_shape = dense<[16]> : tensor<1xi64>}, decomposition = @rms_norm_16x16} : (tensor<16x16xf32>, tensor<16xf32>) -> tensor<16x16xf32>
%n7 = stablehlo.reshape %n7_y : (tensor<16x16xf32>) -> tensor<8x32xf32>
sdy.return %n7 : tensor<8x32xf32>
} : (tensor<8x64xf32>, tensor<64x64xf32>, tensor<16xf32>) -> (tensor<8x64xf32>)
return %R#0 : tensor<8x64xf32>
}
func.func private @tt.mark_1(%w: tensor<32x64xf32>) -> tensor<32x64xf32> {
  return %w : tensor<32x64xf32>
}
func.func private @tt.mark_2(%w: tensor<16xf32>) -> tensor<16xf32> {
  return %w : tensor<16xf32>
}
func.func private @rms_norm_16x16(%x: tensor<16x16xf32>, %gain: tensor<16xf32>) -> tensor<16x16xf32> {
  %f = stablehlo.convert %x : (tensor<16x16xf32>) -> tensor<16x16xf32>
  %g = stablehlo.convert %gain : (tensor<16xf32>) -> tensor<16xf32>
  %s = stablehlo.multiply %f, %f : tensor<16x16xf32>
  %z = stablehlo.constant dense<0.0> : tensor<f32>
  %m = stablehlo.reduce(%s init: %z) applies stablehlo.add across dimensions = [1] : (tensor<16x16xf32>, tensor<f32>) -> tensor<16xf32>
  %d = stablehlo.constant dense<16.0> : tensor<16xf32>
  %e = stablehlo.constant dense<9.999999975e-07> : tensor<16xf32>
  %a = stablehlo.divide %m, %d : tensor<16xf32>
  %b = stablehlo.add %a, %e : tensor<16xf32>
  %r = stablehlo.rsqrt %b : tensor<16xf32>
  %rb = stablehlo.broadcast_in_dim %r, dims = [0] : (tensor<16xf32>) -> tensor<16x16xf32>
  %gb = stablehlo.broadcast_in_dim %g, dims = [1] : (tensor<16xf32>) -> tensor<16x16xf32>
  %y = stablehlo.multiply %f, %rb : tensor<16x16xf32>
  %w = stablehlo.multiply %y, %gb : tensor<16x16xf32>
  %o = stablehlo.convert %w : (tensor<16x16xf32>) -> tensor<16x16xf32>
  return %o : tensor<16x16xf32>
}
}
