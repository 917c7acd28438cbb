// How dense self-attention was, by forward of a step, layer and head. The numbers of sparse layers
// are made on the device and stay there until somebody asks; which layers were sparse is known
// here.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/config/model_config.h"
#include "kernels/psa/pyramid_sparse_attention.h"

namespace psagen::engine {

class AttentionDensity {
 public:
  // The forwards of a step: with and without the negative prompt.
  static constexpr std::int64_t kForwards = 2;

  AttentionDensity() = default;
  AttentionDensity(Allocator& allocator, const TransformerConfig& config);

  // Whether sparse layers write their densities, which costs a few microseconds each, or are only
  // marked.
  void measure(bool wanted) { measures_ = wanted; }
  // The next calls belong to this forward of the step; the first one forgets the step before.
  void begin_forward(std::int64_t forward);
  // Where a sparse layer writes; marks it.
  kernels::PsaDensity sparse_call(std::int64_t layer);
  void dense_call(std::int64_t layer);

  // [kForwards, layers, 2, N] float32: nominal, then executed; undefined where nothing was sparse.
  ConstTensorView values() const { return values_; }
  // [forward][layer] of the forwards since the last begin_forward(0): 1 where it was sparse.
  const std::vector<std::vector<std::uint8_t>>& sparse() const { return sparse_; }

 private:
  Tensor values_;
  bool measures_ = true;
  std::vector<std::vector<std::uint8_t>> sparse_ = {{}};
};

}  // namespace psagen::engine
