// One call of pyramid sparse attention on the CPU back end, with the inputs, the mask and the
// double-precision answer within reach of a law.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/psa/block_levels.h"
#include "kernels/psa/psa_args.h"
#include "kernels/reference/psa/pyramid_sparse_attention.h"

namespace psagen::kernels {

struct ProblemSize {
  std::int64_t tokens = 0;
  int key_block = 128;
  std::int64_t depth = 64;
  int query_block = 128;
  std::int64_t batch = 1;
  std::int64_t heads = 1;
  int threads = 1;
};

// The block levels of a problem, [batch, heads, query blocks, key blocks] bytes; may be copied.
class LevelMap {
 public:
  LevelMap() = default;
  explicit LevelMap(const Shape& shape)
      : shape_(shape), bytes_(static_cast<std::size_t>(shape.num_elements())) {}

  std::int64_t num_rows() const { return shape_[0] * shape_[1] * shape_[2]; }
  std::int64_t row(std::int64_t batch, std::int64_t head, std::int64_t query_block) const {
    return (batch * shape_[1] + head) * shape_[2] + query_block;
  }
  void set_row(std::int64_t row, std::span<const std::uint8_t> levels) {
    std::copy(levels.begin(), levels.end(), bytes_.begin() + row * shape_[3]);
  }
  void get_row(std::int64_t row, std::span<std::uint8_t> levels) const {
    std::copy_n(bytes_.begin() + row * shape_[3], shape_[3], levels.begin());
  }
  double nominal_density() const { return kernels::nominal_density(bytes_); }
  TensorView view() {
    return {reinterpret_cast<std::byte*>(bytes_.data()), DType::kU8, shape_, Device{}};
  }
  std::span<const std::uint8_t> bytes() const { return bytes_; }

 private:
  Shape shape_ = {0, 0, 0, 0};
  std::vector<std::uint8_t> bytes_;
};

class PsaProblem {
 public:
  PsaProblem(const ProblemSize& size, std::uint64_t seed)
      : size_(size), random_(seed), context_({.device = {}, .num_threads = size.threads}) {
    ops_ = make_ops(context_);
    shape_ = {size.tokens, size.key_block};
    const Shape heads = {size.batch, size.tokens, size.heads, size.depth};
    for (Tensor* x : {&q, &k, &v, &out}) *x = tensor(DType::kF32, heads);
    lse = tensor(DType::kF32, {size.batch, size.heads, size.tokens});
    const Shape rows = {size.batch, size.heads, shape_.total_rows(), size.depth};
    keys_ = tensor(DType::kF32, rows);
    values_ = tensor(DType::kF32, rows);
    log2_weight_ = tensor(DType::kF32, {shape_.total_rows()});
    level_caps_ = tensor(DType::kU8, {size.batch, size.heads, shape_.key_blocks()});
    mask = LevelMap({size.batch, size.heads, query_blocks(), shape_.key_blocks()});
    order = tensor(DType::kI32, {mask.num_rows()});
    for (Tensor* x : {&nominal, &executed}) *x = tensor(DType::kF32, {size.batch, size.heads});
    for (Tensor* x : {&q, &k, &v}) fill(*x, [this] { return normal(); });
  }

  Tensor tensor(DType dtype, const Shape& shape) { return {context_.allocator(), dtype, shape}; }

  std::int64_t key_blocks() const { return shape_.key_blocks(); }
  std::int64_t query_blocks() const {
    return (size_.tokens + size_.query_block - 1) / size_.query_block;
  }
  std::int64_t block_tokens(std::int64_t block) const { return shape_.block_tokens(block); }
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(size_.depth)); }
  Ops& ops() { return *ops_; }
  const ProblemSize& size() const { return size_; }
  std::mt19937_64& random() { return random_; }
  float normal() { return std::normal_distribution<float>()(random_); }
  std::int64_t below(std::int64_t limit) {
    return std::uniform_int_distribution<std::int64_t>(0, limit - 1)(random_);
  }

  static void fill(Tensor& x, const std::function<float()>& value) {
    float* data = x.view().data<float>();
    for (std::int64_t i = 0; i < x.view().num_elements(); ++i) data[i] = value();
  }
  // at(x, token, channel) of batch and head 0 unless said otherwise
  float& at(Tensor& x, std::int64_t token, std::int64_t channel, std::int64_t head = 0,
            std::int64_t batch = 0) {
    return x.view()
        .data<float>()[((batch * size_.tokens + token) * size_.heads + head) * size_.depth +
                       channel];
  }
  std::span<float> row(Tensor& x, std::int64_t token) {
    return {&at(x, token, 0), static_cast<std::size_t>(size_.depth)};
  }

  using Levels = std::vector<std::uint8_t>;
  // The same levels for every (batch, head, query block).
  void set_levels(const Levels& levels) {
    for (std::int64_t row = 0; row < mask.num_rows(); ++row) mask.set_row(row, levels);
  }
  Levels uniform_levels(int level) const {
    return Levels(static_cast<std::size_t>(key_blocks()), static_cast<std::uint8_t>(level));
  }
  // Any of 0, 1, 2, 4, 8 for each pair of blocks; some rows may end up empty.
  void set_random_levels() {
    constexpr std::uint8_t kLevels[] = {0, 1, 2, 4, 8};
    Levels levels(static_cast<std::size_t>(key_blocks()));
    for (std::int64_t row = 0; row < mask.num_rows(); ++row) {
      for (std::uint8_t& level : levels) level = kLevels[below(5)];
      mask.set_row(row, levels);
    }
  }
  Levels levels_of(std::int64_t row) const {
    Levels levels(static_cast<std::size_t>(key_blocks()));
    mask.get_row(row, levels);
    return levels;
  }

  Pyramid pyramid() {
    Pyramid pyramid;
    pyramid.shape = shape_;
    pyramid.keys = keys_;
    pyramid.values = values_;
    pyramid.log2_weight = log2_weight_;
    pyramid.level_caps = level_caps_;
    return pyramid;
  }

  void build(std::array<double, 3> similarity_thresholds = {-1.0, -1.0, -1.0}) {
    ops_->build_pyramid(
        {.k = k, .v = v, .similarity_thresholds = similarity_thresholds, .pyramid = pyramid()});
  }
  // Fills `mask`, `order` and `nominal`; returns the importance, [batch, heads, query blocks,
  // key blocks].
  Tensor select(const PsaParams& params) {
    Tensor importance =
        tensor(DType::kF32, {size_.batch, size_.heads, query_blocks(), key_blocks()});
    ops_->select_blocks({.q = q,
                         .k = k,
                         .pyramid = pyramid(),
                         .scale = scale(),
                         .params = params,
                         .importance = importance,
                         .levels = mask.view(),
                         .order = order,
                         .nominal_density = nominal});
    return importance;
  }
  // Fills `out`, `lse` and `executed`; poisons them first. Returns the mean executed density.
  double attend(ConstTensorView work_order = {}) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    fill(out, [nan] { return nan; });
    fill(lse, [nan] { return nan; });
    fill(executed, [nan] { return nan; });
    ops_->sparse_attention({.q = q,
                            .k = k,
                            .v = v,
                            .pyramid = pyramid(),
                            .levels = mask.view(),
                            .order = work_order,
                            .scale = scale(),
                            .query_block = size_.query_block,
                            .out = out,
                            .lse = lse,
                            .executed_density = executed});
    double sum = 0.0;
    for (std::int64_t head = 0; head < size_.batch * size_.heads; ++head)
      sum += executed.view().data<float>()[head];
    return sum / static_cast<double>(size_.batch * size_.heads);
  }
  double run() {
    build();
    return attend();
  }

  reference::PsaProblem reference_problem(std::int64_t batch, std::int64_t head) {
    reference::PsaProblem p;
    p.tokens = size_.tokens;
    p.depth = size_.depth;
    p.scale = scale();
    p.query_block = size_.query_block;
    p.key_block = size_.key_block;
    for (std::int64_t token = 0; token < size_.tokens; ++token)
      for (std::int64_t d = 0; d < size_.depth; ++d) {
        p.q.push_back(at(q, token, d, head, batch));
        p.k.push_back(at(k, token, d, head, batch));
        p.v.push_back(at(v, token, d, head, batch));
      }
    return p;
  }
  reference::PsaResult reference_result(std::int64_t batch = 0, std::int64_t head = 0) {
    Levels levels;
    for (std::int64_t i = 0; i < query_blocks(); ++i) {
      const Levels row = levels_of(mask.row(batch, head, i));
      levels.insert(levels.end(), row.begin(), row.end());
    }
    return reference::sparse_attention(reference_problem(batch, head), levels);
  }

 private:
  ProblemSize size_;
  std::mt19937_64 random_;
  Context context_;  // before the tensors, whose memory it owns
  std::unique_ptr<Ops> ops_;
  PyramidShape shape_;

 public:
  Tensor q, k, v, out;  // [B, L, N, D]
  Tensor lse;           // [B, N, L]
  LevelMap mask;
  Tensor order;              // [B * N * query blocks]
  Tensor nominal, executed;  // [B, N]

 private:
  Tensor keys_, values_, log2_weight_, level_caps_;
};

inline std::vector<float> values_of(const Tensor& x) {
  const ConstTensorView view = x;
  return {view.data<float>(), view.data<float>() + view.num_elements()};
}

// ||x - truth|| / ||truth||; NaN anywhere makes it NaN, which fails every comparison.
inline double relative_error(std::span<const float> x, std::span<const double> truth) {
  double error = 0.0, norm = 0.0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    error += (x[i] - truth[i]) * (x[i] - truth[i]);
    norm += truth[i] * truth[i];
  }
  return std::sqrt(error / std::max(norm, 1e-300));
}

inline double largest_difference(std::span<const float> x, std::span<const float> y) {
  double largest = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i]) continue;  // infinities too
    const double difference = std::abs(static_cast<double>(x[i]) - y[i]);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

// What float32 arithmetic costs: scores of a few units, sums of some hundred terms. Measured on the
// cases of these suites: at most 1.1e-6 for the output and 2e-6 for the log-sum-exp.
inline constexpr double kOutputTolerance = 3e-6;  // relative L2
inline constexpr double kLseTolerance = 6e-6;     // absolute

}  // namespace psagen::kernels
