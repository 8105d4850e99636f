module @qwenmesh attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=1]>
func.func public @main(%g_n3: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) -> (tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) {
%R:1 = sdy.manual_computation(%g_n3)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>]
  out_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%n3: tensor<8x64xf32>) {
sdy.return %n3 : tensor<8x64xf32>
} : (tensor<8x64xf32>) -> (tensor<8x64xf32>)
return %R#0 : tensor<8x64xf32>
}
}
