module @qwenmesh attributes {mhlo.num_partitions = 2 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=2]>
func.func public @main(%g_n5: tensor<8x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w2s: tensor<64x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>},
    %g_w1s: tensor<64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>}) -> (tensor<8x64xbf16> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>}) {
%R:1 = sdy.manual_computation(%g_n5, %g_w2s, %g_w1s)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}, {}]>, <@mesh, [{"x", "y"}]>]
  out_shardings=[<@mesh, [{}, {"x", "y"}]>]
  manual_axes={"x", "y"} (%n5: tensor<8x64xbf16>, %w2s_in: tensor<32x64xbf16>, %w1s_in: tensor<32xbf16>) {
%w2s = func.call @tt.mark_1(%w2s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xbf16>) -> tensor<32x64xbf16>
%w1s = func.call @tt.mark_2(%w1s_in) {ttcore.argument_type = "parameter"} : (tensor<32xbf16>) -> tensor<32xbf16>
%n6 = stablehlo.dot_general %n5, %w2s, contracting_dims = [1] x [1] : (tensor<8x64xbf16>, tensor<32x64xbf16>) -> tensor<8x32xbf16>
%n7_b = stablehlo.broadcast_in_dim %w1s, dims = [1] : (tensor<32xbf16>) -> tensor<8x32xbf16>
%n7 = stablehlo.multiply %n6, %n7_b : tensor<8x32xbf16>
sdy.return %n7 : tensor<8x32xbf16>
} : (tensor<8x64xbf16>, tensor<64x64xbf16>, tensor<64xbf16>) -> (tensor<8x64xbf16>)
return %R#0 : tensor<8x64xbf16>
}
func.func private @tt.mark_1(%w: tensor<32x64xbf16>) -> tensor<32x64xbf16> {
  return %w : tensor<32x64xbf16>
}
func.func private @tt.mark_2(%w: tensor<32xbf16>) -> tensor<32xbf16> {
  return %w : tensor<32xbf16>
}
}
