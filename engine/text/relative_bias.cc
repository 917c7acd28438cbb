#include "engine/text/relative_bias.h"

#include <cstdlib>

namespace psagen::engine {
namespace {

// The formula is floor(ln(distance / exact) / ln(max_distance / exact) * steps) >= step. Compared
// as powers, which long double holds exactly for the published 32 buckets and 128 positions: a
// rounded logarithm would put the distances that sit on a boundary (16, 32, 64) to chance.
bool reaches_step(std::int64_t distance, std::int64_t exact, std::int64_t max_distance,
                  std::int64_t steps, std::int64_t step) {
  const auto ratio = [exact](std::int64_t value) {
    return static_cast<long double>(value) / static_cast<long double>(exact);
  };
  long double left = 1.0L;
  for (std::int64_t i = 0; i < steps; ++i) left *= ratio(distance);
  long double right = 1.0L;
  for (std::int64_t i = 0; i < step; ++i) right *= ratio(max_distance);
  return left >= right;
}

}  // namespace

RelativeBuckets::RelativeBuckets(std::int64_t num_buckets, std::int64_t max_distance)
    : half_(num_buckets / 2) {
  PSAGEN_CHECK(num_buckets >= 4 && num_buckets % 2 == 0, ErrorCode::kInvalidArgument,
               "relative_attention_num_buckets is ", num_buckets,
               ", wanted an even number from 4 on");
  const std::int64_t exact = half_ / 2;
  PSAGEN_CHECK(max_distance > exact, ErrorCode::kInvalidArgument,
               "relative_attention_max_distance is ", max_distance, ", wanted more than ", exact);
  const std::int64_t steps = half_ - exact;
  std::int64_t distance = exact;
  for (std::int64_t step = 0; step < steps; ++step) {
    while (!reaches_step(distance, exact, max_distance, steps, step)) ++distance;
    wide_starts_.push_back(distance);
  }
}

std::int64_t RelativeBuckets::operator()(std::int64_t relative_position) const {
  const std::int64_t side = relative_position > 0 ? half_ : 0;
  const std::int64_t distance = std::abs(relative_position);
  if (distance < half_ / 2) return side + distance;
  std::int64_t bucket = half_ / 2;
  for (std::size_t i = 1; i < wide_starts_.size() && distance >= wide_starts_[i]; ++i) ++bucket;
  return side + bucket;
}

RelativeBias::RelativeBias(const TextEncoderConfig& config, const Weights& weights,
                           kernels::Ops& ops)
    : buckets_(config.relative_attention_num_buckets, config.relative_attention_max_distance),
      num_heads_(config.num_heads) {
  const Shape shape = {config.relative_attention_num_buckets, config.num_heads};
  const Parameter weight = weights.get(shape, "weight", Weights::Use::kValues);
  table_.resize(static_cast<std::size_t>(shape.num_elements()));
  ops.copy(weight, TensorView(reinterpret_cast<std::byte*>(table_.data()), DType::kF32, shape, {}));
}

void RelativeBias::operator()(kernels::Ops& ops, TensorView diagonals, TensorView bias) const {
  const std::int64_t length = bias.dim(1);
  const std::int64_t width = 2 * length - 1;
  std::vector<float> values(static_cast<std::size_t>(num_heads_ * width));
  for (std::int64_t n = 0; n < num_heads_; ++n)
    for (std::int64_t i = 0; i < width; ++i)
      values[n * width + i] = table_[buckets_(i - (length - 1)) * num_heads_ + n];
  ops.copy(ConstTensorView(reinterpret_cast<const std::byte*>(values.data()), DType::kF32,
                           {num_heads_, width}, {}),
           diagonals);
  // Element (n, i, j) is diagonal length - 1 + j - i: one row down is one diagonal back.
  const TensorView from_query_0 = diagonals.slice(1, length - 1, width);
  ops.copy(ConstTensorView(from_query_0.bytes(), DType::kF32, {num_heads_, length, length},
                           Strides{width, -1, 1}, diagonals.device()),
           bias);
}

}  // namespace psagen::engine
