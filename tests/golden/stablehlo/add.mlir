module @qwenmesh attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=1]>
func.func public @main(%g_n3: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_n6: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w4: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}) -> (tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) {
%R:1 = sdy.manual_computation(%g_n3, %g_n6, %g_w4)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>]
  out_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%n3: tensor<8x64xf32>, %n6: tensor<8x64xf32>, %w4_in: tensor<64xf32>) {
%w4 = func.call @tt.mark_2(%w4_in) {ttcore.argument_type = "parameter"} : (tensor<64xf32>) -> tensor<64xf32>
%n7_b = stablehlo.broadcast_in_dim %w4, dims = [1] : (tensor<64xf32>) -> tensor<8x64xf32>
%n7 = stablehlo.add %n6, %n7_b : tensor<8x64xf32>
%n8 = stablehlo.add %n7, %n3 : tensor<8x64xf32>
sdy.return %n8 : tensor<8x64xf32>
} : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<64xf32>) -> (tensor<8x64xf32>)
return %R#0 : tensor<8x64xf32>
}
func.func private @tt.mark_2(%w: tensor<64xf32>) -> tensor<64xf32> {
  return %w : tensor<64xf32>
}
}
