// Timestep -> e and e0 (spec/wan 3.3).
#pragma once

#include <cstdint>
#include <vector>

#include "engine/config/model_config.h"
#include "engine/nn/linear.h"
#include "kernels/ops.h"

namespace psagen::engine {

struct TimeActivations {
  TimeActivations(kernels::Ops& ops, const TransformerConfig& config);
  std::vector<float> host_sinusoid;  // [freq_dim]
  Tensor sinusoid;                   // [1, freq_dim]
  Tensor hidden;                     // [1, C]
  Tensor e;                          // [1, C], for the head
  Tensor e0;                         // [1, 6, C], for the blocks
};

// Cosines first: cos(t w_0) .. cos(t w_{n-1}), sin(t w_0) .. sin(t w_{n-1}) with n = size / 2 and
// w_j = 10000^(-j / n). In float64 as the original program; t is on the 0 .. 1000 scale.
void fill_time_sinusoid(double timestep, std::vector<float>& values);

class TimeEmbed {
 public:
  // Reads `time_embedder.linear_1`, `.linear_2` and `time_proj`.
  TimeEmbed(const TransformerConfig& config, const Weights& weights);

  // e = W2 silu(W1 s + b1) + b2; e0 = W3 silu(e) + b3
  void operator()(kernels::Ops& ops, double timestep, TimeActivations& a) const;

 private:
  Linear linear_1_;
  Linear linear_2_;
  Linear time_proj_;
};

}  // namespace psagen::engine
