module @qwenmesh attributes {mhlo.num_partitions = 8 : i32, mhlo.num_replicas = 1 : i32} {
sdy.mesh @mesh = <["x"=1, "y"=8]>
func.func public @main(%g_draws: tensor<16x2xi32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_scalars: tensor<20xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
    %g_x0: tensor<16x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>},
    %g_shard: tensor<72xi32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}]>},
    %g_w0s: tensor<256x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>}) -> (tensor<16x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x", "y"}]>}) {
%R:1 = sdy.manual_computation(%g_draws, %g_scalars, %g_x0, %g_shard, %g_w0s)
  in_shardings=[<@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{}], replicated={"x", "y"}>, <@mesh, [{}, {}], replicated={"x", "y"}>, <@mesh, [{"x", "y"}]>, <@mesh, [{"x", "y"}, {}]>]
  out_shardings=[<@mesh, [{}, {"x", "y"}]>]
  manual_axes={"x", "y"} (%draws: tensor<16x2xi32>, %scalars: tensor<20xf32>, %x0: tensor<16x64xf32>, %shard: tensor<9xi32>, %w0s_in: tensor<32x64xf32>) {
%w0s = func.call @tt.mark_4(%w0s_in) {ttcore.argument_type = "parameter"} : (tensor<32x64xf32>) -> tensor<32x64xf32>
%n1 = stablehlo.dot_general %x0, %w0s, contracting_dims = [1] x [1] : (tensor<16x64xf32>, tensor<32x64xf32>) -> tensor<16x32xf32>
%n2_k0 = stablehlo.bitcast_convert %draws : (tensor<16x2xi32>) -> tensor<16xui64>
%n2_site = stablehlo.constant dense<5> : tensor<16xui64>
%n2_k1 = stablehlo.xor %n2_k0, %n2_site : tensor<16xui64>
%n2_k_0c = stablehlo.constant dense<11400714819323198485> : tensor<16xui64>
%n2_k_0 = stablehlo.add %n2_k1, %n2_k_0c : tensor<16xui64>
%n2_k_1c = stablehlo.constant dense<30> : tensor<16xui64>
%n2_k_1s = stablehlo.shift_right_logical %n2_k_0, %n2_k_1c : tensor<16xui64>
%n2_k_1 = stablehlo.xor %n2_k_0, %n2_k_1s : tensor<16xui64>
%n2_k_2c = stablehlo.constant dense<13787848793156543929> : tensor<16xui64>
%n2_k_2 = stablehlo.multiply %n2_k_1, %n2_k_2c : tensor<16xui64>
%n2_k_3c = stablehlo.constant dense<27> : tensor<16xui64>
%n2_k_3s = stablehlo.shift_right_logical %n2_k_2, %n2_k_3c : tensor<16xui64>
%n2_k_3 = stablehlo.xor %n2_k_2, %n2_k_3s : tensor<16xui64>
%n2_k_4c = stablehlo.constant dense<10723151780598845931> : tensor<16xui64>
%n2_k_4 = stablehlo.multiply %n2_k_3, %n2_k_4c : tensor<16xui64>
%n2_k_5c = stablehlo.constant dense<31> : tensor<16xui64>
%n2_k_5s = stablehlo.shift_right_logical %n2_k_4, %n2_k_5c : tensor<16xui64>
%n2_k = stablehlo.xor %n2_k_4, %n2_k_5s : tensor<16xui64>
%n2_kb = stablehlo.broadcast_in_dim %n2_k, dims = [0] : (tensor<16xui64>) -> tensor<16x32xui64>
%n2_c_i = stablehlo.iota dim = 1 : tensor<16x32xui64>
%n2_c_fk = stablehlo.constant dense<1> : tensor<16x32xui64>
%n2_c_f0 = stablehlo.divide %n2_c_i, %n2_c_fk : tensor<16x32xui64>
%n2_c_fk1 = stablehlo.constant dense<32> : tensor<16x32xui64>
%n2_c_f1 = stablehlo.remainder %n2_c_f0, %n2_c_fk1 : tensor<16x32xui64>
%place_2_1 = stablehlo.slice %shard [2:3] : (tensor<9xi32>) -> tensor<1xi32>
%place_2 = stablehlo.reshape %place_2_1 : (tensor<1xi32>) -> tensor<i32>
%n2_c_f2 = stablehlo.convert %place_2 : (tensor<i32>) -> tensor<ui64>
%n2_c_f3 = stablehlo.broadcast_in_dim %n2_c_f2, dims = [] : (tensor<ui64>) -> tensor<16x32xui64>
%n2_c_f4 = stablehlo.add %n2_c_f1, %n2_c_f3 : tensor<16x32xui64>
%n2_c_fk2 = stablehlo.constant dense<1> : tensor<16x32xui64>
%n2_c_f5 = stablehlo.multiply %n2_c_f4, %n2_c_fk2 : tensor<16x32xui64>
%n2_c = stablehlo.reshape %n2_c_f5 : (tensor<16x32xui64>) -> tensor<16x32xui64>
%n2_4 = stablehlo.constant dense<4> : tensor<16x32xui64>
%n2_16 = stablehlo.constant dense<16> : tensor<16x32xui64>
%n2_cq = stablehlo.divide %n2_c, %n2_4 : tensor<16x32xui64>
%n2_cr = stablehlo.remainder %n2_c, %n2_4 : tensor<16x32xui64>
%n2_kq = stablehlo.xor %n2_kb, %n2_cq : tensor<16x32xui64>
%n2_m_0c = stablehlo.constant dense<11400714819323198485> : tensor<16x32xui64>
%n2_m_0 = stablehlo.add %n2_kq, %n2_m_0c : tensor<16x32xui64>
%n2_m_1c = stablehlo.constant dense<30> : tensor<16x32xui64>
%n2_m_1s = stablehlo.shift_right_logical %n2_m_0, %n2_m_1c : tensor<16x32xui64>
%n2_m_1 = stablehlo.xor %n2_m_0, %n2_m_1s : tensor<16x32xui64>
%n2_m_2c = stablehlo.constant dense<13787848793156543929> : tensor<16x32xui64>
%n2_m_2 = stablehlo.multiply %n2_m_1, %n2_m_2c : tensor<16x32xui64>
%n2_m_3c = stablehlo.constant dense<27> : tensor<16x32xui64>
%n2_m_3s = stablehlo.shift_right_logical %n2_m_2, %n2_m_3c : tensor<16x32xui64>
%n2_m_3 = stablehlo.xor %n2_m_2, %n2_m_3s : tensor<16x32xui64>
%n2_m_4c = stablehlo.constant dense<10723151780598845931> : tensor<16x32xui64>
%n2_m_4 = stablehlo.multiply %n2_m_3, %n2_m_4c : tensor<16x32xui64>
%n2_m_5c = stablehlo.constant dense<31> : tensor<16x32xui64>
%n2_m_5s = stablehlo.shift_right_logical %n2_m_4, %n2_m_5c : tensor<16x32xui64>
%n2_m = stablehlo.xor %n2_m_4, %n2_m_5s : tensor<16x32xui64>
%n2_by = stablehlo.multiply %n2_cr, %n2_16 : tensor<16x32xui64>
%n2_d0 = stablehlo.shift_right_logical %n2_m, %n2_by : tensor<16x32xui64>
%n2_low = stablehlo.constant dense<65535> : tensor<16x32xui64>
%n2_d1 = stablehlo.and %n2_d0, %n2_low : tensor<16x32xui64>
%n2_draw = stablehlo.convert %n2_d1 : (tensor<16x32xui64>) -> tensor<16x32xf32>
%n2_p = stablehlo.constant dense<1.966080078e+04> : tensor<16x32xf32>
%scalar_1_1 = stablehlo.slice %scalars [1:2] : (tensor<20xf32>) -> tensor<1xf32>
%scalar_1 = stablehlo.reshape %scalar_1_1 : (tensor<1xf32>) -> tensor<f32>
%scalar_1_16x32xf32 = stablehlo.broadcast_in_dim %scalar_1, dims = [] : (tensor<f32>) -> tensor<16x32xf32>
%n2_pd = stablehlo.multiply %n2_p, %scalar_1_16x32xf32 : tensor<16x32xf32>
%n2_drop = stablehlo.compare LT, %n2_draw, %n2_pd, FLOAT : (tensor<16x32xf32>, tensor<16x32xf32>) -> tensor<16x32xi1>
%n2_pc = stablehlo.constant dense<3.000000119e-01> : tensor<16x32xf32>
%n2_pe = stablehlo.multiply %n2_pc, %scalar_1_16x32xf32 : tensor<16x32xf32>
%n2_1 = stablehlo.constant dense<1.000000000e+00> : tensor<16x32xf32>
%n2_q = stablehlo.subtract %n2_1, %n2_pe : tensor<16x32xf32>
%n2_x = stablehlo.divide %n1, %n2_q : tensor<16x32xf32>
%n2_0 = stablehlo.constant dense<0.000000000e+00> : tensor<16x32xf32>
%n2 = stablehlo.select %n2_drop, %n2_0, %n2_x : tensor<16x32xi1>, tensor<16x32xf32>
sdy.return %n2 : tensor<16x32xf32>
} : (tensor<16x2xi32>, tensor<20xf32>, tensor<16x64xf32>, tensor<72xi32>, tensor<256x64xf32>) -> (tensor<16x256xf32>)
return %R#0 : tensor<16x256xf32>
}
func.func private @tt.mark_4(%w: tensor<32x64xf32>) -> tensor<32x64xf32> {
  return %w : tensor<32x64xf32>
}
}
