module @qwenmesh attributes {mhlo.num_partitions = 2 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=2]>
func.func public @main(%g_n5: tensor<2x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_shard: tensor<18xi32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    %g_w1s: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>}) -> (tensor<2x16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>},
    tensor<2x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) {
%R:2 = sdy.manual_computation(%g_n5, %g_shard, %g_w1s)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}]>, <@mesh, [{"x", "y"}, {}]>]
  out_shardings=[<@mesh, [{}, {"x", "y"}]>, <@mesh, [{}, {}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%n5: tensor<2x64xf32>, %shard: tensor<9xi32>, %w1s_in: tensor<32x64xf32>) {
%w1s = func.call @tt.mark_2(%w1s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%n6 = stablehlo.reshape %n5 : (tensor<2x64xf32>) -> tensor<2x64xf32>
%n7 = stablehlo.dot_general %n6, %w1s, contracting_dims = [1] x [1] : (tensor<2x64xf32>, tensor<32x64xf32>) -> tensor<2x32xf32>
%n8_f = stablehlo.convert %n7 : (tensor<2x32xf32>) -> tensor<2x32xf32>
%n8_s = stablehlo.convert %shard : (tensor<9xi32>) -> tensor<9xf32>
%n8_s0 = stablehlo.slice %n8_s [0:1] : (tensor<9xf32>) -> tensor<1xf32>
%n8_t0 = stablehlo.broadcast_in_dim %n8_s0, dims = [1] : (tensor<1xf32>) -> tensor<2x32xf32>
%n8_s1 = stablehlo.slice %n8_s [1:2] : (tensor<9xf32>) -> tensor<1xf32>
%n8_t1 = stablehlo.broadcast_in_dim %n8_s1, dims = [1] : (tensor<1xf32>) -> tensor<2x32xf32>
%n8_i = stablehlo.iota dim = 1 : tensor<2x32xf32>
%n8_v = stablehlo.compare LT, %n8_i, %n8_t1, FLOAT : (tensor<2x32xf32>, tensor<2x32xf32>) -> tensor<2x32xi1>
%n8_n = stablehlo.constant dense<-3.0e38> : tensor<2x32xf32>
%n8_x = stablehlo.select %n8_v, %n8_f, %n8_n : tensor<2x32xi1>, tensor<2x32xf32>
%n8_m_0 = stablehlo.constant dense<-3.000000000e+38> : tensor<f32>
%n8_m = stablehlo.reduce(%n8_x init: %n8_m_0) applies stablehlo.maximum across dimensions = [1] : (tensor<2x32xf32>, tensor<f32>) -> tensor<2xf32>
%n8_mb = stablehlo.broadcast_in_dim %n8_m, dims = [0] : (tensor<2xf32>) -> tensor<2x32xf32>
%n8_e = stablehlo.compare EQ, %n8_x, %n8_mb, FLOAT : (tensor<2x32xf32>, tensor<2x32xf32>) -> tensor<2x32xi1>
%n8_g = stablehlo.add %n8_i, %n8_t0 : tensor<2x32xf32>
%n8_h = stablehlo.constant dense<3.0e38> : tensor<2x32xf32>
%n8_c = stablehlo.select %n8_e, %n8_g, %n8_h : tensor<2x32xi1>, tensor<2x32xf32>
%n8_d_0 = stablehlo.constant dense<3.000000000e+38> : tensor<f32>
%n8_d = stablehlo.reduce(%n8_c init: %n8_d_0) applies stablehlo.minimum across dimensions = [1] : (tensor<2x32xf32>, tensor<f32>) -> tensor<2xf32>
%n8_m1 = stablehlo.reshape %n8_m : (tensor<2xf32>) -> tensor<2x1xf32>
%n8_d1 = stablehlo.reshape %n8_d : (tensor<2xf32>) -> tensor<2x1xf32>
%n8 = stablehlo.concatenate %n8_m1, %n8_d1, dim = 1 : (tensor<2x1xf32>, tensor<2x1xf32>) -> tensor<2x2xf32>
%n8_k:2 = stablehlo.composite "tenstorrent.topk" %n8_x {composite_attributes = {k = 4 : i32, dim = -1 : i32, largest = true, sorted = true}, decomposition = @top} : (tensor<2x32xf32>) -> (tensor<2x4xf32>, tensor<2x4xi32>)
%n8_kf = stablehlo.convert %n8_k#1 : (tensor<2x4xi32>) -> tensor<2x4xf32>
%n8_kt = stablehlo.broadcast_in_dim %n8_s0, dims = [1] : (tensor<1xf32>) -> tensor<2x4xf32>
%n8_kg = stablehlo.add %n8_kf, %n8_kt : tensor<2x4xf32>
%candidates = stablehlo.concatenate %n8_k#0, %n8_kg, dim = 1 : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x8xf32>
%n9 = "stablehlo.all_gather"(%n8) {all_gather_dim = 1 : i64, replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, use_global_device_ids} : (tensor<2x2xf32>) -> tensor<2x4xf32>
sdy.return %candidates, %n9 : tensor<2x8xf32>, tensor<2x4xf32>
} : (tensor<2x64xf32>, tensor<18xi32>, tensor<64x64xf32>) -> (tensor<2x16xf32>, tensor<2x4xf32>)
return %R#0, %R#1 : tensor<2x16xf32>, tensor<2x4xf32>
}
func.func private @tt.mark_2(%w: tensor<32x64xf32>) -> tensor<32x64xf32> {
  return %w : tensor<32x64xf32>
}
func.func private @top(%x: tensor<2x32xf32>) -> (tensor<2x4xf32>, tensor<2x4xi32>) {
  %i = stablehlo.iota dim = 1 : tensor<2x32xi32>
  %s:2 = "stablehlo.sort"(%x, %i) ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>, %c: tensor<i32>, %d: tensor<i32>):
    %e = stablehlo.compare GT, %a, %b, TOTALORDER : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %e : tensor<i1>
  }) {dimension = 1 : i64, is_stable = true} : (tensor<2x32xf32>, tensor<2x32xi32>) -> (tensor<2x32xf32>, tensor<2x32xi32>)
  %v = stablehlo.slice %s#0 [0:2, 0:4] : (tensor<2x32xf32>) -> tensor<2x4xf32>
  %p = stablehlo.slice %s#1 [0:2, 0:4] : (tensor<2x32xi32>) -> tensor<2x4xi32>
  return %v, %p : tensor<2x4xf32>, tensor<2x4xi32>
}
}
