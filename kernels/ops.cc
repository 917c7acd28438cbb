#include "kernels/ops.h"

#include "kernels/op_checks.h"
#include "kernels/psa/norm_pool_check.h"

namespace psagen::kernels {
namespace {

Shape with_last(Shape shape, std::int64_t last) {
  shape[-1] = last;
  return shape;
}

// [B, C], rows evenly spaced: a row of the modulation of each batch.
void check_batch_rows(const OpChecks& check, const char* name, const ConstTensorView& view,
                      std::int64_t batch, std::int64_t channels) {
  check.given(name, view);
  check.shape(name, view, {batch, channels});
  check.even_rows(name, view);
}

void check_row_op(const OpChecks& check, const ConstTensorView& x, const ConstTensorView& y) {
  check.given("x", x);
  check.min_rank("x", x, 1);
  check.even_rows("x", x);
  check.given("y", y);
  check.shape("y", y, x.shape());
  check.even_rows("y", y);
}

void check_vector(const OpChecks& check, const char* name, const ConstTensorView& view,
                  std::int64_t length) {
  check.weight(name, view);
  check.shape(name, view, {length});
}

void check_order(const OpChecks& check, ConstTensorView order, std::int64_t tokens) {
  if (!order) return;
  check.given("order", order, DType::kI32);
  check.shape("order", order, {tokens});
  check.contiguous("order", order);
  if (order.device().kind != DeviceKind::kCpu) return;  // its values are out of reach here
  const std::int32_t* const values = order.data<std::int32_t>();
  for (std::int64_t i = 0; i < tokens; ++i)
    check.that(values[i] >= 0 && values[i] < tokens, "order[", i, "] is ", values[i],
               ", wanted 0 to ", tokens - 1);
}

// Latent [B, C, T, H, W] against tokens [B, T H/2 W/2, 4 C].
void check_patches(const OpChecks& check, const ConstTensorView& latent,
                   const ConstTensorView& tokens, const ConstTensorView& order) {
  check.given("latent", latent);
  check.rank("latent", latent, 5);
  check.contiguous("latent", latent);
  check.that(latent.dim(3) % 2 == 0 && latent.dim(4) % 2 == 0, "latent is ", latent.shape(),
             ", wanted an even height and width");
  const std::int64_t count = latent.dim(2) * (latent.dim(3) / 2) * (latent.dim(4) / 2);
  check.given("tokens", tokens);
  check.shape("tokens", tokens, {latent.dim(0), count, 4 * latent.dim(1)});
  check.even_rows("tokens", tokens);
  check_order(check, order, count);
}

bool is_real(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

}  // namespace

void Ops::linear(const LinearArgs& args) {
  const OpChecks check("linear", context_.device());
  check.given("x", args.x);
  check.min_rank("x", args.x, 2);
  check.even_rows("x", args.x);
  check.weight("weight", args.weight);
  check.rank("weight", args.weight, 2);
  const std::int64_t columns = args.weight.dim(0);
  check.shape("weight", args.weight, {columns, args.x.dim(-1)});
  if (args.bias) check_vector(check, "bias", args.bias, columns);
  check.given("y", args.y);
  check.shape("y", args.y, with_last(args.x.shape(), columns));
  check.even_rows("y", args.y);
  check.that(args.y.bytes() != args.x.bytes(), "y is the memory of x");
  if (args.residual) {
    check.that(args.activation == Activation::kNone, "an activation and a residual are both given");
    check.given("residual", args.residual);
    check.shape("residual", args.residual, args.y.shape());
    check.even_rows("residual", args.residual);
  }
  const Profiler::Scope zone(context_.profiler(), Zone::kLinear);
  do_linear(args);
}

void Ops::rms_norm(const RmsNormArgs& args) {
  const OpChecks check("rms_norm", context_.device());
  check_row_op(check, args.x, args.y);
  check_vector(check, "gamma", args.gamma, args.x.dim(-1));
  const Profiler::Scope zone(context_.profiler(), Zone::kNorm);
  do_rms_norm(args);
}

namespace {

// What layer_norm and residual_norm have in common; `x` [B, L, C].
template <typename Args>
void check_layer_norm(const OpChecks& check, const Args& args) {
  check.min_rank("x", args.x, 2);
  const std::int64_t channels = args.x.dim(-1);
  check.that(static_cast<bool>(args.gamma) == static_cast<bool>(args.beta),
             "only one of gamma and beta is given");
  check.that(static_cast<bool>(args.scale) == static_cast<bool>(args.shift),
             "only one of scale and shift is given");
  if (args.gamma) {
    check_vector(check, "gamma", args.gamma, channels);
    check_vector(check, "beta", args.beta, channels);
  }
  if (args.scale) {
    check_batch_rows(check, "scale", args.scale, args.x.dim(0), channels);
    check_batch_rows(check, "shift", args.shift, args.x.dim(0), channels);
  }
}

}  // namespace

void Ops::layer_norm(const LayerNormArgs& args) {
  const OpChecks check("layer_norm", context_.device());
  check_row_op(check, args.x, args.y);
  check_layer_norm(check, args);
  const Profiler::Scope zone(context_.profiler(), Zone::kNorm);
  do_layer_norm(args);
}

void Ops::residual_norm(const ResidualNormArgs& args) {
  const OpChecks check("residual_norm", context_.device());
  check_row_op(check, args.x, args.h);
  check_layer_norm(check, args);
  check.given("y", args.y);
  check.shape("y", args.y, args.x.shape());
  check.even_rows("y", args.y);
  if (args.gate) check_batch_rows(check, "gate", args.gate, args.x.dim(0), args.x.dim(-1));
  check.that(args.h.bytes() != args.x.bytes(), "h is the memory of x");
  if (args.nonfinite) {
    check.shape("nonfinite", args.nonfinite, {1});
    check.that(args.nonfinite.dtype() == DType::kI32, "nonfinite is ",
               dtype_name(args.nonfinite.dtype()), ", wanted I32");
  }
  const Profiler::Scope zone(context_.profiler(), Zone::kNorm);
  do_residual_norm(args);
}

void Ops::rms_norm_rope(const RmsNormRopeArgs& args) {
  const OpChecks check("rms_norm_rope", context_.device());
  check.given("x", args.x);
  check.rank("x", args.x, 3);
  check.even_rows("x", args.x);
  check_vector(check, "gamma", args.gamma, args.x.dim(2));
  check.given("y", args.y);
  check.rank("y", args.y, 4);
  const std::int64_t head_dim = args.y.dim(3);
  check.that(head_dim > 0 && head_dim % 2 == 0, "y is ", args.y.shape(),
             ", wanted an even head dimension");
  check.shape("y", args.y, {args.x.dim(0), args.x.dim(1), args.x.dim(2) / head_dim, head_dim});
  check.that(args.y.dim(2) * head_dim == args.x.dim(2), "x is ", args.x.shape(),
             ", which heads of ", head_dim, " do not divide");
  check.unit_stride("y", args.y);
  check.that(args.y.dim(2) <= 1 || args.y.stride(2) == head_dim, "the heads of y are ",
             args.y.stride(2), " apart, wanted ", head_dim);
  check.given("rope_cos", args.rope_cos);
  check.shape("rope_cos", args.rope_cos, {args.x.dim(1), head_dim / 2});
  check.contiguous("rope_cos", args.rope_cos);
  check.given("rope_sin", args.rope_sin);
  check.shape("rope_sin", args.rope_sin, args.rope_cos.shape());
  check.contiguous("rope_sin", args.rope_sin);
  if (args.pool != nullptr) check_norm_pool(*this, args);
  const Profiler::Scope zone(context_.profiler(), Zone::kNorm);
  do_rms_norm_rope(args);
}

void Ops::gelu_gate(const GeluGateArgs& args) {
  const OpChecks check("gelu_gate", context_.device());
  check.given("gate", args.gate);
  check.min_rank("gate", args.gate, 1);
  check.even_rows("gate", args.gate);
  check.given("up", args.up);
  check.shape("up", args.up, args.gate.shape());
  check.even_rows("up", args.up);
  check.given("y", args.y);
  check.shape("y", args.y, args.gate.shape());
  check.even_rows("y", args.y);
  const Profiler::Scope zone(context_.profiler(), Zone::kElementwise);
  do_gelu_gate(args);
}

void Ops::activate(ConstTensorView x, Activation activation, TensorView y) {
  const OpChecks check("activate", context_.device());
  check_row_op(check, x, y);
  const Profiler::Scope zone(context_.profiler(), Zone::kElementwise);
  do_activate(x, activation, y);
}

void Ops::embedding(const EmbeddingArgs& args) {
  const OpChecks check("embedding", context_.device());
  check.weight("table", args.table);
  check.rank("table", args.table, 2);
  check.given("y", args.y);
  check.shape("y", args.y, {static_cast<std::int64_t>(args.ids.size()), args.table.dim(1)});
  check.even_rows("y", args.y);
  for (std::size_t i = 0; i < args.ids.size(); ++i)
    check.that(args.ids[i] >= 0 && args.ids[i] < args.table.dim(0), "id ", i, " is ", args.ids[i],
               ", wanted 0 to ", args.table.dim(0) - 1);
  const Profiler::Scope zone(context_.profiler(), Zone::kElementwise);
  do_embedding(args);
}

void Ops::attention(const AttentionArgs& args) {
  const OpChecks check("attention", context_.device());
  check.given("q", args.q);
  check.rank("q", args.q, 4);
  check.unit_stride("q", args.q);
  check.given("k", args.k);
  check.rank("k", args.k, 4);
  check.unit_stride("k", args.k);
  const std::int64_t batch = args.q.dim(0), queries = args.q.dim(1), heads = args.q.dim(2);
  const std::int64_t keys = args.k.dim(1);
  check.that(keys > 0, "k is ", args.k.shape(), ", wanted at least one key");
  check.shape("k", args.k, {batch, keys, heads, args.q.dim(3)});
  check.given("v", args.v);
  check.shape("v", args.v, args.k.shape());
  check.unit_stride("v", args.v);
  check.given("out", args.out);
  check.shape("out", args.out, args.q.shape());
  check.unit_stride("out", args.out);
  if (args.bias) {
    check.given("bias", args.bias);
    check.shape("bias", args.bias, {heads, queries, keys});
    check.unit_stride("bias", args.bias);
  }
  if (args.key_log_weight) {
    check.given("key_log_weight", args.key_log_weight);
    check.shape("key_log_weight", args.key_log_weight, {batch, keys});
    check.unit_stride("key_log_weight", args.key_log_weight);
  }
  if (args.lse) {
    check.given("lse", args.lse);
    check.shape("lse", args.lse, {batch, heads, queries});
  }
  const Profiler::Scope zone(context_.profiler(), Zone::kAttention);
  do_attention(args);
}

std::unique_ptr<PackedConv3d> Ops::pack_conv3d(const PackConv3dArgs& args) {
  const OpChecks check("pack_conv3d", context_.device());
  check.weight("weight", args.weight);
  check.rank("weight", args.weight, 5);
  check.that(args.weight.dim(3) == args.weight.dim(4) && args.weight.dim(3) % 2 == 1 &&
                 args.weight.dim(2) >= 1,
             "weight is ", args.weight.shape(), ", wanted [Co, Ci, kt, k, k] with an odd k");
  check_vector(check, "bias", args.bias, args.weight.dim(0));
  const Profiler::Scope zone(context_.profiler(), Zone::kConv3d);
  return do_pack_conv3d(args);
}

void Ops::conv3d(const Conv3dArgs& args) {
  const OpChecks check("conv3d", context_.device());
  check.that(args.weights != nullptr, "weights are not given");
  const PackedConv3d& weights = *args.weights;
  check.given("x", args.x);
  check.rank("x", args.x, 4);
  check.contiguous("x", args.x);
  const std::int64_t frames = args.x.dim(0), rows = args.x.dim(1), columns = args.x.dim(2);
  check.shape("x", args.x, {frames, rows, columns, weights.in_channels});
  if (args.context) {
    check.that(weights.kernel_t > 1, "a context is given, but the kernel spans one frame");
    check.given("context", args.context);
    check.shape("context", args.context,
                {weights.kernel_t - 1, rows, columns, weights.in_channels});
    check.contiguous("context", args.context);
  }
  const std::int64_t factor = args.upsample ? 2 : 1;
  check.given("y", args.y);
  check.shape("y", args.y, {frames, factor * rows, factor * columns, weights.out_channels});
  check.contiguous("y", args.y);
  check.that(args.y.bytes() != args.x.bytes(), "y is the memory of x");
  if (args.residual) {
    check.given("residual", args.residual);
    check.shape("residual", args.residual, args.y.shape());
    check.contiguous("residual", args.residual);
  }
  const Profiler::Scope zone(context_.profiler(), Zone::kConv3d);
  do_conv3d(args);
}

void Ops::channel_norm(const ChannelNormArgs& args) {
  const OpChecks check("channel_norm", context_.device());
  check_row_op(check, args.x, args.y);
  check_vector(check, "gamma", args.gamma, args.x.dim(-1));
  const Profiler::Scope zone(context_.profiler(), Zone::kNorm);
  do_channel_norm(args);
}

void Ops::patchify(const PatchifyArgs& args) {
  check_patches(OpChecks("patchify", context_.device()), args.latent, args.tokens, args.order);
  const Profiler::Scope zone(context_.profiler(), Zone::kElementwise);
  do_patchify(args);
}

void Ops::unpatchify(const UnpatchifyArgs& args) {
  check_patches(OpChecks("unpatchify", context_.device()), args.latent, args.tokens, args.order);
  const Profiler::Scope zone(context_.profiler(), Zone::kElementwise);
  do_unpatchify(args);
}

void Ops::linear_combination(std::span<const LinearTerm> terms, TensorView y) {
  const OpChecks check("linear_combination", context_.device());
  check.that(!terms.empty(), "no terms are given");
  check.given("y", y);
  check.min_rank("y", y, 1);
  check.even_rows("y", y);
  for (const LinearTerm& term : terms) {
    check.given("x", term.x);
    check.shape("x", term.x, y.shape());
    check.even_rows("x", term.x);
  }
  const Profiler::Scope zone(context_.profiler(), Zone::kElementwise);
  do_linear_combination(terms, y);
}

void Ops::copy(ConstTensorView x, TensorView y) {
  const OpChecks check("copy", context_.device());
  check.copied("x", x);
  check.copied("y", y);
  check.that(x.dtype() == y.dtype() || (is_real(x.dtype()) && is_real(y.dtype())), "y is ",
             dtype_name(y.dtype()), ", which ", dtype_name(x.dtype()), " is not converted to");
  check.shape("y", y, x.shape());
  const Profiler::Scope zone(context_.profiler(), Zone::kElementwise);
  do_copy(x, y);
}

void Ops::to_rgb8(const ToRgb8Args& args) {
  const OpChecks check("to_rgb8", context_.device());
  check.given("x", args.x);
  check.rank("x", args.x, 4);
  check.that(args.x.dim(3) == 3, "x is ", args.x.shape(), ", wanted three channels last");
  check.contiguous("x", args.x);
  check.given("rgb", args.rgb, DType::kU8);
  check.shape("rgb", args.rgb, args.x.shape());
  check.contiguous("rgb", args.rgb);
  const Profiler::Scope zone(context_.profiler(), Zone::kElementwise);
  do_to_rgb8(args);
}

void Ops::count_nonfinite(ConstTensorView x, TensorView counter) {
  const OpChecks check("count_nonfinite", context_.device());
  check.given("x", x);
  check.min_rank("x", x, 1);
  check.even_rows("x", x);
  check.given("counter", counter, DType::kI32);
  check.shape("counter", counter, {1});
  const Profiler::Scope zone(context_.profiler(), Zone::kElementwise);
  do_count_nonfinite(x, counter);
}

}  // namespace psagen::kernels
