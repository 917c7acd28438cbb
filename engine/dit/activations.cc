#include "engine/dit/activations.h"

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

std::int64_t hidden_rows(std::int64_t num_tokens, std::int64_t ffn_dim) {
  const std::int64_t rows = kHiddenBytes / (ffn_dim * static_cast<std::int64_t>(sizeof(float)));
  return std::min(num_tokens, std::max(rows, kMinHiddenRows));
}

}  // namespace

DitActivations::DitActivations(kernels::Ops& ops, const TransformerConfig& config,
                               const Shape& latent, const AttentionConfig& attention_config)
    : attention(attention_config),
      grid(grid_of(latent)),
      order(is_reordered(attention) ? kernels::pyramid_token_order(grid)
                                    : std::vector<std::int32_t>()),
      rope(make_rope_tables(ops, grid, config.attention_head_dim, order)),
      time(ops, config) {
  const auto tensor = [&ops](Shape shape) {
    return Tensor(ops.context().allocator(), DType::kF32, shape);
  };
  const std::int64_t num_tokens = grid.num_tokens();
  const std::int64_t dim = config.dim();
  modulation = tensor({1, 6, dim});
  patches = tensor({1, num_tokens, kPatchArea * config.in_channels});
  x = tensor({1, num_tokens, dim});
  h = tensor({1, num_tokens, dim});
  q = tensor({1, num_tokens, dim});
  k = tensor({1, num_tokens, dim});
  v = tensor({1, num_tokens, dim});
  hidden = tensor({1, hidden_rows(num_tokens, config.ffn_dim), config.ffn_dim});
  head_tokens = tensor({1, num_tokens, kPatchArea * config.out_channels});
  if (attention.kind == AttentionKind::kPyramid)
    pyramid = std::make_unique<kernels::PyramidSparseAttention>(
        ops, 1, num_tokens, config.num_attention_heads, config.attention_head_dim, attention.psa);
}

}  // namespace psagen::engine
