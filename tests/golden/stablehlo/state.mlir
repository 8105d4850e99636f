module @qwenmesh attributes {mhlo.num_partitions = 2 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=2]>
func.func public @main(%g_n3: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_s0: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>, tf.aliasing_output = 1 : i32}) -> (tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}) {
%R:2 = sdy.manual_computation(%g_n3, %g_s0)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>]
  out_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%n3: tensor<8x64xf32>, %s0: tensor<64xf32>) {
%n4_1 = stablehlo.constant dense<1.0> : tensor<64xf32>
%n4 = stablehlo.add %s0, %n4_1 : tensor<64xf32>
%n5_b = stablehlo.broadcast_in_dim %n4, dims = [1] : (tensor<64xf32>) -> tensor<8x64xf32>
%n5 = stablehlo.add %n3, %n5_b : tensor<8x64xf32>
sdy.return %n5, %n4 : tensor<8x64xf32>, tensor<64xf32>
} : (tensor<8x64xf32>, tensor<64xf32>) -> (tensor<8x64xf32>, tensor<64xf32>)
return %R#0, %R#1 : tensor<8x64xf32>, tensor<64xf32>
}
}
