#include "engine/dit/activations.h"

#include "engine/dit/attention_policy.h"

#include <algorithm>

#include "engine/dit/patch_embed.h"

namespace psagen::engine {
namespace {

// The feed-forward hidden tensor in full would be the largest of all (587 MB for 1.3B at 480x832,
// 81 frames); slices of this size keep matrix products efficient.
constexpr std::int64_t kHiddenBytes = std::int64_t{64} << 20;
constexpr std::int64_t kMinHiddenRows = 256;

kernels::TokenGrid grid_of(const Shape& latent) {
  PSAGEN_CHECK(latent.rank() == 5 && latent[0] == 1 && latent[3] % 2 == 0 && latent[4] % 2 == 0,
               ErrorCode::kInternal, "a latent is ", latent, ", wanted [1, C, T, H, W], H, W even");
  return {.frames = latent[2], .rows = latent[3] / 2, .cols = latent[4] / 2};
}

bool is_reordered(const AttentionConfig& attention) {
  return attention.kind == AttentionKind::kPyramid && attention.reorder_tokens;
}

constexpr std::int64_t kHeadRows = 8192;
constexpr std::int64_t kTileRows = 128;  // of a matrix product on a GPU
// On a GPU, products of this many rows run at full speed.
constexpr std::int64_t kHiddenRowsOnGpu = 16384;

std::int64_t hidden_rows(const Context& context, std::int64_t num_tokens, std::int64_t ffn_dim) {
  if (context.device().kind == DeviceKind::kCpu) {
    const std::int64_t rows = kHiddenBytes / (ffn_dim * static_cast<std::int64_t>(sizeof(float)));
    return std::min(num_tokens, std::max(rows, kMinHiddenRows));
  }
  const std::int64_t slices = (num_tokens + kHiddenRowsOnGpu - 1) / kHiddenRowsOnGpu;
  return (num_tokens + slices - 1) / slices;
}

// Rows of a slice of `bytes`, whole tiles of them and at least one.
std::int64_t rows_in(std::int64_t bytes, std::int64_t row_bytes, std::int64_t num_tokens) {
  return std::min(num_tokens, std::max(kTileRows, bytes / row_bytes / kTileRows * kTileRows));
}

}  // namespace

DitActivations::DitActivations(kernels::Ops& ops, const TransformerConfig& config,
                               const Shape& latent, const AttentionConfig& attention_config,
                               std::int64_t num_forwards)
    : attention(attention_config),
      grid(grid_of(latent)),
      order(is_reordered(attention) ? kernels::pyramid_token_order(grid)
                                    : std::vector<std::int32_t>()),
      rope(make_rope_tables(ops, grid, config.attention_head_dim, order)),
      time(ops, config) {
  Allocator& allocator = ops.context().allocator();
  const auto tensor = [&](Shape shape) {
    return Tensor(allocator, ops.context().compute_dtype(), shape);
  };
  const std::int64_t num_tokens = grid.num_tokens();
  const std::int64_t dim = config.dim();
  if (!order.empty()) {
    const Shape shape = {num_tokens};
    order_table = Tensor(allocator, DType::kI32, shape);
    ops.copy(ConstTensorView(reinterpret_cast<const std::byte*>(order.data()), DType::kI32, shape,
                             Device{}),
             order_table);
  }
  for (Tensor& rows : modulation) rows = Tensor(allocator, DType::kF32, {1, 6, dim});
  patches = Tensor(allocator, DType::kF32, {1, num_tokens, kPatchArea * config.in_channels});
  x = Tensor(allocator, DType::kF32, {1, num_tokens, dim});
  h = tensor({1, num_tokens, dim});
  const auto view = [&](DType dtype, Shape shape) -> TensorView {
    return storage_.emplace_back(allocator, dtype, shape);
  };
  const auto over = [](TensorView bytes, DType dtype, Shape shape) {
    return TensorView(bytes.bytes(), dtype, shape, bytes.device());
  };
  const DType scored = ops.context().score_dtype();
  const TensorView pair = view(scored, {2, 1, num_tokens, dim});
  q = over(pair, scored, {1, num_tokens, dim});
  k = over(pair.slice(0, 1, 2), scored, {1, num_tokens, dim});
  y = over(pair, DType::kF32, {1, num_tokens, dim});
  ffn = over(pair, ops.context().compute_dtype(), {1, num_tokens, dim});
  v = view(ops.context().compute_dtype(), {1, num_tokens, dim});
  hidden = view(ops.context().compute_dtype(),
                {1, hidden_rows(ops.context(), num_tokens, config.ffn_dim), config.ffn_dim});
  // Queries and keys of the video go to the norm in float32, which the clip's likeness to that of
  // the CPU needs; to queries of the text it makes no difference (docs/benchmarks/gpu.md).
  const auto before_norm = [&](DType dtype) {
    const std::int64_t bytes = static_cast<std::int64_t>(hidden.num_bytes());
    const std::int64_t row_bytes = dim * static_cast<std::int64_t>(dtype_size(dtype));
    const Shape shape = {1, rows_in(bytes, row_bytes, num_tokens), dim};
    return shape[1] * row_bytes <= bytes ? over(hidden, dtype, shape) : view(dtype, shape);
  };
  if (ops.context().device().kind != DeviceKind::kCpu) {
    projected = before_norm(DType::kF32);
    text_queries = before_norm(ops.context().compute_dtype());
  }
  // What the head reads is float32 as what it gives is: errors here go straight into the velocity.
  head_rows = h;
  if (head_rows.dtype() != DType::kF32)
    head_rows = view(DType::kF32, {1, std::min(num_tokens, kHeadRows), dim});
  head_tokens = Tensor(allocator, DType::kF32, {1, num_tokens, kPatchArea * config.out_channels});
  const std::vector<std::int32_t> zeros(static_cast<std::size_t>(config.num_layers + 1), 0);
  const Shape counters = {config.num_layers + 1};
  nonfinite = Tensor(allocator, DType::kI32, counters);
  ops.copy(ConstTensorView(reinterpret_cast<const std::byte*>(zeros.data()), DType::kI32, counters,
                           Device{}),
           nonfinite);
  if (attention.kind == AttentionKind::kPyramid) {
    pyramid = std::make_unique<kernels::PyramidSparseAttention>(
        ops, 1, num_tokens, config.num_attention_heads, config.attention_head_dim, attention.psa,
        num_level_slots(attention, config.num_layers, num_forwards));
    density = AttentionDensity(allocator, config);
  }
}

}  // namespace psagen::engine
