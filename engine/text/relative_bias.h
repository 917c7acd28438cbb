// Bucketed relative position bias of T5-style attention (spec/wan 2.3). UMT5 keeps one table a
// layer.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/config/model_config.h"
#include "engine/weights/weights.h"
#include "kernels/core/tensor.h"
#include "kernels/ops.h"

namespace psagen::engine {

// Bidirectional buckets, half of them for keys after the query. Within a half the first half has a
// bucket for every distance; the rest cover distances that grow by a constant factor, the last one
// all from about max_distance on.
class RelativeBuckets {
 public:
  // Throws Error(kInvalidArgument) unless num_buckets is even and at least 4, and max_distance is
  // more than a quarter of it.
  RelativeBuckets(std::int64_t num_buckets, std::int64_t max_distance);

  // Bucket of relative_position = key position - query position.
  std::int64_t operator()(std::int64_t relative_position) const;

 private:
  std::int64_t half_;
  std::vector<std::int64_t> wide_starts_;  // smallest distance of each bucket wider than one
};

class RelativeBias {
 public:
  // Reads `weight` [buckets, heads].
  RelativeBias(const TextEncoderConfig& config, const Weights& weights, kernels::Ops& ops);

  // bias[n, i, j] = weight[bucket(j - i), n]; bias [N, S, S], diagonals [N, 2 S - 1] scratch.
  void operator()(kernels::Ops& ops, TensorView diagonals, TensorView bias) const;

 private:
  RelativeBuckets buckets_;
  std::int64_t num_heads_;
  std::vector<float> table_;  // [buckets, heads] on the host
};

}  // namespace psagen::engine
