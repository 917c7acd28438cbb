// Every tensor a DiT forward writes, and what is fixed for a clip: allocated once per job, so that
// the step loop allocates nothing.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/config/attention_config.h"
#include "engine/config/model_config.h"
#include "engine/dit/attention_density.h"
#include "engine/dit/attention_probe.h"
#include "engine/dit/rope3d.h"
#include "engine/dit/time_embed.h"
#include "kernels/ops.h"
#include "kernels/psa/pyramid_sparse_attention.h"

namespace psagen::engine {

struct DitActivations {
  // `latent` is [1, Cin, T, H, W], H and W even. `num_forwards` of a step share the activations.
  DitActivations(kernels::Ops& ops, const TransformerConfig& config, const Shape& latent,
                 const AttentionConfig& attention, std::int64_t num_forwards = 1);

  AttentionConfig attention;
  kernels::TokenGrid grid;          // (T, H / 2, W / 2)
  std::vector<std::int32_t> order;  // token l is raster token order[l]; empty: raster order
  Tensor order_table;               // the same on the device
  RopeTables rope;                  // in that order
  TimeActivations time;
  std::array<Tensor, 2> modulation;  // [1, 6, C], of every other block
  Tensor patches;                    // [1, L, 4 Cin], float32
  Tensor x;                          // [1, L, C] residual stream, float32
  Tensor h;                          // [1, L, C] what a layer reads; attention writes it too
  TensorView q, k;                   // [1, L, C] of Context::score_dtype()
  TensorView v;                      // [1, L, C]
  TensorView y;             // [1, L, C] what attention returns, float32; where q and k were
  TensorView ffn;           // [1, L, C] what a feed-forward layer returns; there, too
  TensorView projected;     // [1, R, C] rows of q or k before their norm, float32; on a
                            // GPU only, where hidden is
  TensorView text_queries;  // [1, R, C] rows of q to text before their norm; likewise
  TensorView hidden;        // [1, R, F] feed-forward slice
  TensorView head_rows;     // [1, R, C] slice that the head reads, float32
  Tensor head_tokens;       // [1, L, 4 Cout], float32
  std::unique_ptr<kernels::PyramidSparseAttention> pyramid;  // null when attention is dense
  AttentionDensity density;
  AttentionProbe* probe = nullptr;  // told of every self-attention; null: nobody looks
  // [layers + 1] I32: rows of x with NaN or infinite values seen so far behind each layer, and such
  // values in the velocity.
  Tensor nonfinite;

 private:
  std::vector<Tensor> storage_;  // of the views
};

}  // namespace psagen::engine
