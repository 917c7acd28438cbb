#include "engine/dit/time_embed.h"

#include <cmath>

namespace psagen::engine {

using kernels::Activation;

TimeActivations::TimeActivations(kernels::Ops& ops, const TransformerConfig& config)
    : host_sinusoid(static_cast<std::size_t>(config.freq_dim)),
      sinusoid(ops.context().allocator(), DType::kF32, {1, config.freq_dim}),
      hidden(ops.context().allocator(), DType::kF32, {1, config.dim()}),
      e(ops.context().allocator(), DType::kF32, {1, config.dim()}),
      e0(ops.context().allocator(), DType::kF32, {1, 6, config.dim()}) {}

void fill_time_sinusoid(double timestep, std::vector<float>& values) {
  const std::size_t half = values.size() / 2;
  for (std::size_t j = 0; j < half; ++j) {
    const double frequency = std::pow(10000.0, -static_cast<double>(j) / static_cast<double>(half));
    values[j] = static_cast<float>(std::cos(timestep * frequency));
    values[half + j] = static_cast<float>(std::sin(timestep * frequency));
  }
}

TimeEmbed::TimeEmbed(const TransformerConfig& config, const Weights& weights)
    // Float32 throughout, as in the published pipelines: every token depends on these few values.
    : linear_1_(config.freq_dim, config.dim(), weights.child("time_embedder.linear_1"),
                Linear::Bias::kPresent, Weights::Use::kValues),
      linear_2_(config.dim(), config.dim(), weights.child("time_embedder.linear_2"),
                Linear::Bias::kPresent, Weights::Use::kValues),
      time_proj_(config.dim(), 6 * config.dim(), weights.child("time_proj")) {
  PSAGEN_CHECK(config.freq_dim % 2 == 0, ErrorCode::kUnsupported, "freq_dim is ", config.freq_dim,
               ", wanted an even number");
}

void TimeEmbed::operator()(kernels::Ops& ops, double timestep, TimeActivations& a) const {
  fill_time_sinusoid(timestep, a.host_sinusoid);
  ops.copy(ConstTensorView(reinterpret_cast<const std::byte*>(a.host_sinusoid.data()), DType::kF32,
                           a.sinusoid.shape(), Device{}),
           a.sinusoid);
  linear_1_(ops, a.sinusoid, a.hidden, Activation::kSilu);  // silu(W1 s + b1)     [1,C]
  linear_2_(ops, a.hidden, a.e);                            // e = W2 .. + b2      [1,C]
  ops.activate(a.e, Activation::kSilu, a.hidden);           // silu(e)             [1,C]
  time_proj_(ops, a.hidden, a.e0.view().reshape({1, a.e0.view().num_elements()}));  // e0 [1,6C]
}

}  // namespace psagen::engine
