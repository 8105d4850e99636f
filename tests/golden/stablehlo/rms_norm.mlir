module @qwenmesh attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=1]>
func.func public @main(%g_n4: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w1: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}) -> (tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) {
%R:1 = sdy.manual_computation(%g_n4, %g_w1)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>]
  out_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%n4: tensor<8x64xf32>, %w1_in: tensor<64xf32>) {
%w1 = func.call @tt.mark_1(%w1_in) {ttcore.argument_type = "parameter"} : (tensor<64xf32>) -> tensor<64xf32>
%n5 = stablehlo.composite "tenstorrent.rms_norm" %n4, %w1 {composite_attributes = {epsilon = 9.999999975e-07 : f32, normalized_shape = dense<[64]> : tensor<1xi64>}, decomposition = @rms_norm_8x64} : (tensor<8x64xf32>, tensor<64xf32>) -> tensor<8x64xf32>
sdy.return %n5 : tensor<8x64xf32>
} : (tensor<8x64xf32>, tensor<64xf32>) -> (tensor<8x64xf32>)
return %R#0 : tensor<8x64xf32>
}
func.func private @tt.mark_1(%w: tensor<64xf32>) -> tensor<64xf32> {
  return %w : tensor<64xf32>
}
func.func private @rms_norm_8x64(%x: tensor<8x64xf32>, %gain: tensor<64xf32>) -> tensor<8x64xf32> {
  %f = stablehlo.convert %x : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %g = stablehlo.convert %gain : (tensor<64xf32>) -> tensor<64xf32>
  %s = stablehlo.multiply %f, %f : tensor<8x64xf32>
  %z = stablehlo.constant dense<0.0> : tensor<f32>
  %m = stablehlo.reduce(%s init: %z) applies stablehlo.add across dimensions = [1] : (tensor<8x64xf32>, tensor<f32>) -> tensor<8xf32>
  %d = stablehlo.constant dense<64.0> : tensor<8xf32>
  %e = stablehlo.constant dense<9.999999975e-07> : tensor<8xf32>
  %a = stablehlo.divide %m, %d : tensor<8xf32>
  %b = stablehlo.add %a, %e : tensor<8xf32>
  %r = stablehlo.rsqrt %b : tensor<8xf32>
  %rb = stablehlo.broadcast_in_dim %r, dims = [0] : (tensor<8xf32>) -> tensor<8x64xf32>
  %gb = stablehlo.broadcast_in_dim %g, dims = [1] : (tensor<64xf32>) -> tensor<8x64xf32>
  %y = stablehlo.multiply %f, %rb : tensor<8x64xf32>
  %w = stablehlo.multiply %y, %gb : tensor<8x64xf32>
  %o = stablehlo.convert %w : (tensor<8x64xf32>) -> tensor<8x64xf32>
  return %o : tensor<8x64xf32>
}
}
