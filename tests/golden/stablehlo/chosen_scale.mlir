module @qwenmesh attributes {mhlo.num_partitions = 2 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=2]>
func.func public @main(%g_n5: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_adapters: tensor<8xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_w2: tensor<19x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) -> (tensor<8x19xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) {
%R:1 = sdy.manual_computation(%g_n5, %g_adapters, %g_w2)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>]
  out_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%n5: tensor<8x64xf32>, %adapters: tensor<8xi32>, %w2_in: tensor<19x64xf32>) {
%w2 = func.call @tt.mark_2(%w2_in) {ttcore.argument_type = "parameter"} : (tensor<19x64xf32>) -> tensor<19x64xf32>
%n6 = stablehlo.dot_general %n5, %w2, contracting_dims = [1] x [1] : (tensor<8x64xf32>, tensor<19x64xf32>) -> tensor<8x19xf32>
%n7_o = stablehlo.constant dense<[-1, 1, 1, 1, -1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]> : tensor<19xi32>
%n7_f = stablehlo.constant dense<[0.000000000e+00, 7.500000000e-01, 7.500000000e-01, 7.500000000e-01, 0.000000000e+00, -2.000000000e+00, -2.000000000e+00, -2.000000000e+00, -2.000000000e+00, -2.000000000e+00, -2.000000000e+00, -2.000000000e+00, -2.000000000e+00, -2.000000000e+00, -2.000000000e+00, -2.000000000e+00, -2.000000000e+00, -2.000000000e+00, -2.000000000e+00]> : tensor<19xf32>
%n7_owner = stablehlo.broadcast_in_dim %n7_o, dims = [1] : (tensor<19xi32>) -> tensor<8x19xi32>
%n7_own = stablehlo.broadcast_in_dim %adapters, dims = [0] : (tensor<8xi32>) -> tensor<8x19xi32>
%n7_is = stablehlo.compare EQ, %n7_owner, %n7_own, SIGNED : (tensor<8x19xi32>, tensor<8x19xi32>) -> tensor<8x19xi1>
%n7_by = stablehlo.broadcast_in_dim %n7_f, dims = [1] : (tensor<19xf32>) -> tensor<8x19xf32>
%n7_y = stablehlo.multiply %n6, %n7_by : tensor<8x19xf32>
%n7_z = stablehlo.constant dense<0.000000000e+00> : tensor<8x19xf32>
%n7 = stablehlo.select %n7_is, %n7_y, %n7_z : tensor<8x19xi1>, tensor<8x19xf32>
sdy.return %n7 : tensor<8x19xf32>
} : (tensor<8x64xf32>, tensor<8xi32>, tensor<19x64xf32>) -> (tensor<8x19xf32>)
return %R#0 : tensor<8x19xf32>
}
func.func private @tt.mark_2(%w: tensor<19x64xf32>) -> tensor<19x64xf32> {
  return %w : tensor<19x64xf32>
}
}
