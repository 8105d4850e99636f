module @qwenmesh attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=1]>
func.func public @main(%g_labels: tensor<16xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_scalars: tensor<20xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_x0: tensor<16x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_w0: tensor<1x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) -> (tensor<16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    tensor<16x1xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) {
%R:2 = sdy.manual_computation(%g_labels, %g_scalars, %g_x0, %g_w0)
  in_shardings=[<@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>]
  out_shardings=[<@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%labels: tensor<16xi32>, %scalars: tensor<20xf32>, %x0: tensor<16x64xf32>, %w0_in: tensor<1x64xf32>) {
%w0 = func.call @tt.mark_3(%w0_in) {ttcore.argument_type = "parameter"} : (tensor<1x64xf32>) -> tensor<1x64xf32>
%n1 = stablehlo.reshape %x0 : (tensor<16x64xf32>) -> tensor<16x64xf32>
%n2 = stablehlo.dot_general %n1, %w0, contracting_dims = [1] x [1] : (tensor<16x64xf32>, tensor<1x64xf32>) -> tensor<16x1xf32>
%lacks_y = stablehlo.bitcast_convert %labels : (tensor<16xi32>) -> tensor<16xf32>
%lacks_z = stablehlo.reshape %n2 : (tensor<16x1xf32>) -> tensor<16xf32>
%lacks_d = stablehlo.subtract %lacks_z, %lacks_y : tensor<16xf32>
%lacks_n = stablehlo.constant dense<-100> : tensor<16xi32>
%lacks_l = stablehlo.compare NE, %labels, %lacks_n, SIGNED : (tensor<16xi32>, tensor<16xi32>) -> tensor<16xi1>
%lacks_0 = stablehlo.constant dense<0.000000000e+00> : tensor<16xf32>
%lacks = stablehlo.select %lacks_l, %lacks_d, %lacks_0 : tensor<16xi1>, tensor<16xf32>
%n3 = stablehlo.multiply %lacks, %lacks : tensor<16xf32>
%scalar_2_1 = stablehlo.slice %scalars [2:3] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_2 = stablehlo.reshape %scalar_2_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_2_16xf32 = stablehlo.broadcast_in_dim %scalar_2, dims = [] : (tensor<f32>) -> tensor<16xf32>
%n4_w = stablehlo.multiply %lacks, %scalar_2_16xf32 : tensor<16xf32>
%n4_2 = stablehlo.add %n4_w, %n4_w : tensor<16xf32>
%n4 = stablehlo.reshape %n4_2 : (tensor<16xf32>) -> tensor<16x1xf32>
sdy.return %n3, %n4 : tensor<16xf32>, tensor<16x1xf32>
} : (tensor<16xi32>, tensor<20xf32>, tensor<16x64xf32>, tensor<1x64xf32>) -> (tensor<16xf32>, tensor<16x1xf32>)
return %R#0, %R#1 : tensor<16xf32>, tensor<16x1xf32>
}
func.func private @tt.mark_3(%w: tensor<1x64xf32>) -> tensor<1x64xf32> {
  return %w : tensor<1x64xf32>
}
}
