module @qwenmesh attributes {mhlo.num_partitions = 4 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=2, "y"=2]>
func.func public @main(%g_n5: tensor<8x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_logit_rows: tensor<1xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_shard: tensor<36xi32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    %g_w1s: tensor<64x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>}) -> (tensor<1x8xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) {
%R:1 = sdy.manual_computation(%g_n5, %g_logit_rows, %g_shard, %g_w1s)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}]>, <@mesh, [{"x", "y"}, {}]>]
  out_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>]
  manual_axes={"x", "y"} (%n5: tensor<8x64xf32>, %logit_rows: tensor<1xi32>, %shard: tensor<9xi32>, %w1s_in: tensor<16x64xf32>) {
%w1s = func.call @tt.mark_3(%w1s_in) {ttcore.argument_type = "parameter"} : (tensor<16x64xf32>) -> tensor<16x64xf32>
%n6 = "stablehlo.gather"(%n5, %logit_rows) {dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 64>, indices_are_sorted = false} : (tensor<8x64xf32>, tensor<1xi32>) -> tensor<1x64xf32>
%n7 = stablehlo.dot_general %n6, %w1s, contracting_dims = [1] x [1] : (tensor<1x64xf32>, tensor<16x64xf32>) -> tensor<1x16xf32>
%n8_f = stablehlo.convert %n7 : (tensor<1x16xf32>) -> tensor<1x16xf32>
%n8_s = stablehlo.convert %shard : (tensor<9xi32>) -> tensor<9xf32>
%n8_s0 = stablehlo.slice %n8_s [0:1] : (tensor<9xf32>) -> tensor<1xf32>
%n8_t0 = stablehlo.broadcast_in_dim %n8_s0, dims = [1] : (tensor<1xf32>) -> tensor<1x16xf32>
%n8_s1 = stablehlo.slice %n8_s [1:2] : (tensor<9xf32>) -> tensor<1xf32>
%n8_t1 = stablehlo.broadcast_in_dim %n8_s1, dims = [1] : (tensor<1xf32>) -> tensor<1x16xf32>
%n8_i = stablehlo.iota dim = 1 : tensor<1x16xf32>
%n8_v = stablehlo.compare LT, %n8_i, %n8_t1, FLOAT : (tensor<1x16xf32>, tensor<1x16xf32>) -> tensor<1x16xi1>
%n8_n = stablehlo.constant dense<-3.0e38> : tensor<1x16xf32>
%n8_x = stablehlo.select %n8_v, %n8_f, %n8_n : tensor<1x16xi1>, tensor<1x16xf32>
%n8_m_0 = stablehlo.constant dense<-3.000000000e+38> : tensor<f32>
%n8_m = stablehlo.reduce(%n8_x init: %n8_m_0) applies stablehlo.maximum across dimensions = [1] : (tensor<1x16xf32>, tensor<f32>) -> tensor<1xf32>
%n8_mb = stablehlo.broadcast_in_dim %n8_m, dims = [0] : (tensor<1xf32>) -> tensor<1x16xf32>
%n8_e = stablehlo.compare EQ, %n8_x, %n8_mb, FLOAT : (tensor<1x16xf32>, tensor<1x16xf32>) -> tensor<1x16xi1>
%n8_g = stablehlo.add %n8_i, %n8_t0 : tensor<1x16xf32>
%n8_h = stablehlo.constant dense<3.0e38> : tensor<1x16xf32>
%n8_c = stablehlo.select %n8_e, %n8_g, %n8_h : tensor<1x16xi1>, tensor<1x16xf32>
%n8_d_0 = stablehlo.constant dense<3.000000000e+38> : tensor<f32>
%n8_d = stablehlo.reduce(%n8_c init: %n8_d_0) applies stablehlo.minimum across dimensions = [1] : (tensor<1x16xf32>, tensor<f32>) -> tensor<1xf32>
%n8_m1 = stablehlo.reshape %n8_m : (tensor<1xf32>) -> tensor<1x1xf32>
%n8_d1 = stablehlo.reshape %n8_d : (tensor<1xf32>) -> tensor<1x1xf32>
%n8 = stablehlo.concatenate %n8_m1, %n8_d1, dim = 1 : (tensor<1x1xf32>, tensor<1x1xf32>) -> tensor<1x2xf32>
%n9_y = "stablehlo.all_gather"(%n8) {all_gather_dim = 1 : i64, replica_groups = dense<[[0, 1], [2, 3]]> : tensor<2x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, use_global_device_ids} : (tensor<1x2xf32>) -> tensor<1x4xf32>
%n9 = "stablehlo.all_gather"(%n9_y) {all_gather_dim = 1 : i64, replica_groups = dense<[[0, 2], [1, 3]]> : tensor<2x2xi64>, channel_handle = #stablehlo.channel_handle<handle = 2, type = 1>, use_global_device_ids} : (tensor<1x4xf32>) -> tensor<1x8xf32>
sdy.return %n9 : tensor<1x8xf32>
} : (tensor<8x64xf32>, tensor<1xi32>, tensor<36xi32>, tensor<64x64xf32>) -> (tensor<1x8xf32>)
return %R#0 : tensor<1x8xf32>
}
func.func private @tt.mark_3(%w: tensor<16x64xf32>) -> tensor<16x64xf32> {
  return %w : tensor<16x64xf32>
}
}
