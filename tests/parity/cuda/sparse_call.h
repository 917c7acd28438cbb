// A call of sparse attention with all that a test wants to know of it: inputs of one fused
// projection, the pyramid as the back end keeps it (made here, so that this op is tested alone),
// block levels, the double-precision answer and that of the naive method.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/psa/psa_args.h"
#include "kernels/reference/elements.h"
#include "kernels/reference/psa/pyramid_sparse_attention.h"
#include "tests/parity/cuda/cuda_parity.h"

namespace psagen::kernels {

struct SparseSize {
  std::int64_t batch = 1, tokens = 1, heads = 1, depth = 64;
  int key_block = 128, query_block = 128;
  std::int64_t extra_columns = 0;  // ahead of q, k and v: with one of them no row is aligned

  PyramidShape pyramid() const { return {tokens, key_block, 2}; }
  std::int64_t query_blocks() const { return (tokens + query_block - 1) / query_block; }
  std::int64_t key_blocks() const { return pyramid().key_blocks(); }
  std::int64_t rows() const { return batch * heads * query_blocks(); }

  friend std::ostream& operator<<(std::ostream& out, const SparseSize& s) {
    return out << s.batch << " x " << s.tokens << " tokens, " << s.heads << " heads of " << s.depth
               << ", blocks of " << s.query_block << " and " << s.key_block;
  }
};

struct SparseAnswer {
  std::vector<double> out, lse;  // [B, L, N, D], [B, N, L]
  double score_size = 0.0;       // the largest score, were all its products positive
};

class SparseCall {
 public:
  using Levels = std::vector<std::uint8_t>;

  SparseCall(const SparseSize& size, DType dtype, std::uint64_t seed)
      : size(size),
        dtype(dtype),
        scale(1.0 / std::sqrt(static_cast<double>(size.depth))),
        levels(static_cast<std::size_t>(size.rows() * size.key_blocks()), 1),
        random_(seed),
        qkv_(memory_, dtype,
             {size.batch, size.tokens, 3 * size.heads * size.depth + size.extra_columns}) {
    const auto value = [this](auto...) { return real(-2.0, 2.0); };
    for (int part = 0; part < 3; ++part) fill(part, value);
  }

  double real(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random_);
  }
  std::int64_t below(std::int64_t limit) {
    return std::uniform_int_distribution<std::int64_t>(0, limit - 1)(random_);
  }
  // In [-1, 1]: exact in 16 bits, and so are sums and means of eight.
  double eighth() { return static_cast<double>(below(17) - 8) / 8.0; }

  // Part 0 is q, 1 k, 2 v.
  const Tensor& qkv() const { return qkv_; }
  template <typename View>
  View part_of(View qkv, int part) const {
    const std::int64_t width = size.heads * size.depth;
    const std::int64_t begin = size.extra_columns + part * width;
    return qkv.slice(2, begin, begin + width).split_last(size.heads, size.depth);
  }
  ConstTensorView part(int part) const { return part_of(ConstTensorView(qkv_.view()), part); }

  // value(batch, token, head, channel), rounded to the type.
  template <typename Value>
  void fill(int part, const Value& value) {
    const TensorView to = part_of(qkv_.view(), part);
    for (std::int64_t b = 0; b < size.batch; ++b)
      for (std::int64_t t = 0; t < size.tokens; ++t)
        for (std::int64_t n = 0; n < size.heads; ++n)
          for (std::int64_t d = 0; d < size.depth; ++d)
            set(to, b * to.stride(0) + t * to.stride(1) + n * to.stride(2) + d,
                static_cast<float>(value(b, t, n, d)));
  }

  // The same levels for every row; or what level(row, key block) says.
  void set_levels(const Levels& row) {
    set_levels(
        [&](std::int64_t, std::int64_t block) { return row[static_cast<std::size_t>(block)]; });
  }
  void set_levels(const std::function<int(std::int64_t, std::int64_t)>& level) {
    for (std::int64_t row = 0; row < size.rows(); ++row)
      for (std::int64_t block = 0; block < size.key_blocks(); ++block)
        levels[static_cast<std::size_t>(row * size.key_blocks() + block)] =
            static_cast<std::uint8_t>(level(row, block));
  }
  int any_level(bool with_none = true) {
    constexpr int kAll[] = {0, 1, 2, 4, 8};
    return with_none ? kAll[below(5)] : kAll[1 + below(4)];
  }
  void set_random_levels() {
    set_levels([this](std::int64_t, std::int64_t) { return any_level(); });
  }

  // The blocks that are kept, all at level 1.
  Levels at_level_1() const {
    Levels result = levels;
    for (std::uint8_t& level : result) level = level == 0 ? 0 : 1;
    return result;
  }

  // Means of part 1 or 2, [B, N, R, D]: summed in float32 from the stored rows, rounded once.
  Tensor pooled(int part) const {
    const PyramidShape shape = size.pyramid();
    Tensor rows(memory_, dtype, {size.batch, size.heads, shape.total_rows(), size.depth});
    const std::vector<float> x = reference::elements<float>(this->part(part));
    std::int64_t at = 0;
    for (std::int64_t b = 0; b < size.batch; ++b)
      for (std::int64_t n = 0; n < size.heads; ++n)
        for (int i = 1; i < 4; ++i)
          for (std::int64_t first = 0; first < shape.key_blocks() * size.key_block;
               first += kPsaLevels[static_cast<std::size_t>(i)]) {
            const std::int64_t end =
                std::min(first + kPsaLevels[static_cast<std::size_t>(i)], size.tokens);
            for (std::int64_t d = 0; d < size.depth; ++d) {
              float sum = 0.0f;
              for (std::int64_t t = first; t < end; ++t) sum += x[index(b, t, n, d)];
              set(rows.view(), at++, end > first ? sum / static_cast<float>(end - first) : 0.0f);
            }
          }
    return rows;
  }

  Tensor log2_weight() const {
    const PyramidShape shape = size.pyramid();
    Tensor weight(memory_, DType::kF32, {shape.total_rows()});
    float* to = weight.view().data<float>();
    for (int i = 1; i < 4; ++i) {
      const std::int64_t level = kPsaLevels[static_cast<std::size_t>(i)];
      for (std::int64_t first = 0; first < shape.key_blocks() * size.key_block; first += level) {
        const std::int64_t tokens = std::min(first + level, size.tokens) - first;
        *to++ = tokens > 0 ? std::log2(static_cast<float>(tokens))
                           : -std::numeric_limits<float>::infinity();
      }
    }
    return weight;
  }

  SparseAnswer truth() const { return truth(levels); }
  SparseAnswer truth(const Levels& with) const;
  SparseAnswer naive() const;

  std::size_t index(std::int64_t b, std::int64_t t, std::int64_t n, std::int64_t d) const {
    return static_cast<std::size_t>(((b * size.tokens + t) * size.heads + n) * size.depth + d);
  }

  SparseSize size;
  DType dtype;
  double scale;
  Levels levels;
  std::vector<std::int32_t> order;  // optional

 private:
  static void set(const TensorView& view, std::int64_t at, float value) {
    if (view.dtype() == DType::kBF16)
      view.data<bf16>()[at] = to_bf16(value);
    else if (view.dtype() == DType::kF16)
      view.data<f16>()[at] = to_f16(value);
    else
      view.data<float>()[at] = value;
  }

  mutable CpuAllocator memory_;
  std::mt19937_64 random_;
  Tensor qkv_;
};

inline SparseAnswer SparseCall::truth(const Levels& with) const {
  SparseAnswer answer;
  answer.out.resize(static_cast<std::size_t>(part(0).num_elements()));
  const std::vector<double> parts[] = {reference::elements<double>(part(0)),
                                       reference::elements<double>(part(1)),
                                       reference::elements<double>(part(2))};
  const auto head_levels = static_cast<std::size_t>(size.query_blocks() * size.key_blocks());
  for (std::int64_t b = 0; b < size.batch; ++b)
    for (std::int64_t n = 0; n < size.heads; ++n) {
      reference::PsaProblem problem{.tokens = size.tokens,
                                    .depth = size.depth,
                                    .scale = scale,
                                    .query_block = size.query_block,
                                    .key_block = size.key_block,
                                    .q = {},
                                    .k = {},
                                    .v = {}};
      std::vector<double>* const to[] = {&problem.q, &problem.k, &problem.v};
      for (int i = 0; i < 3; ++i)
        for (std::int64_t t = 0; t < size.tokens; ++t)
          for (std::int64_t d = 0; d < size.depth; ++d)
            to[i]->push_back(parts[i][index(b, t, n, d)]);
      const auto first = static_cast<std::size_t>(b * size.heads + n) * head_levels;
      const reference::PsaResult result =
          reference::sparse_attention(problem, std::span(with).subspan(first, head_levels));
      for (std::int64_t t = 0; t < size.tokens; ++t)
        for (std::int64_t d = 0; d < size.depth; ++d)
          answer.out[index(b, t, n, d)] = result.out[static_cast<std::size_t>(t * size.depth + d)];
      answer.lse.insert(answer.lse.end(), result.lse.begin(), result.lse.end());
    }
  return answer;
}

// Everything in float32 but means and probabilities, which are rounded to the type of q, k and v,
// as by every method that multiplies them in that type. Powers of two as in attention_test.cc.
inline SparseAnswer SparseCall::naive() const {
  constexpr float kLog2E = 1.44269504f;
  SparseAnswer answer;
  answer.out.resize(static_cast<std::size_t>(part(0).num_elements()));
  const PyramidShape shape = size.pyramid();
  const auto depth = static_cast<std::size_t>(size.depth);
  const std::vector<float> q = reference::elements<float>(part(0));
  const std::vector<float> level_1[] = {reference::elements<float>(part(1)),
                                        reference::elements<float>(part(2))};
  const Tensor pooled_tensors[] = {pooled(1), pooled(2)};
  const std::vector<float> pooled_rows[] = {reference::elements<float>(pooled_tensors[0].view()),
                                            reference::elements<float>(pooled_tensors[1].view())};
  const auto rounded = [this](float value) {
    return dtype == DType::kBF16  ? to_float(to_bf16(value))
           : dtype == DType::kF16 ? to_float(to_f16(value))
                                  : value;
  };
  struct Row {
    const float* key;
    const float* value;
    float tokens;
  };
  std::vector<Row> rows;
  std::vector<float> scores, sums(depth);
  for (std::int64_t b = 0; b < size.batch; ++b)
    for (std::int64_t n = 0; n < size.heads; ++n)
      for (std::int64_t i = 0; i < size.query_blocks(); ++i) {
        rows.clear();
        for (std::int64_t j = 0; j < size.key_blocks(); ++j) {
          const int level = levels[static_cast<std::size_t>(
              ((b * size.heads + n) * size.query_blocks() + i) * size.key_blocks() + j)];
          if (level == 0) continue;
          const int level_index = level == 1 ? 0 : level == 2 ? 1 : level == 4 ? 2 : 3;
          for (std::int64_t u = 0; u < shape.block_rows(j, level); ++u) {
            const std::int64_t token = j * size.key_block + u * level;
            const std::int64_t pooled_row =
                (b * size.heads + n) * shape.total_rows() + shape.row_begin(level_index, j) + u;
            const std::size_t at =
                level == 1 ? index(b, token, n, 0) : static_cast<std::size_t>(pooled_row) * depth;
            const std::vector<float>* const from = level == 1 ? level_1 : pooled_rows;
            rows.push_back(
                {from[0].data() + at, from[1].data() + at,
                 static_cast<float>(std::min<std::int64_t>(level, size.tokens - token))});
          }
        }
        const std::int64_t end = std::min((i + 1) * size.query_block, size.tokens);
        scores.resize(rows.size());
        for (std::int64_t t = i * size.query_block; t < end; ++t) {
          const float* const query = q.data() + index(b, t, n, 0);
          float max = -std::numeric_limits<float>::infinity(), sum = 0.0f;
          for (std::size_t r = 0; r < rows.size(); ++r) {
            float score = 0.0f, size_of_score = 0.0f;
            for (std::size_t d = 0; d < depth; ++d) {
              score += query[d] * rows[r].key[d];
              size_of_score += std::abs(query[d] * rows[r].key[d]);
            }
            answer.score_size =
                std::max(answer.score_size, std::abs(static_cast<double>(size_of_score) * scale));
            scores[r] = score * static_cast<float>(scale) + std::log(rows[r].tokens);
            max = std::max(max, scores[r]);
          }
          std::fill(sums.begin(), sums.end(), 0.0f);
          for (std::size_t r = 0; r < rows.size(); ++r) {
            const float whole = std::exp2(std::fma(scores[r], kLog2E, -(max * kLog2E)));
            const float p = rounded(whole);
            sum += whole;
            for (std::size_t d = 0; d < depth; ++d) sums[d] += p * rows[r].value[d];
          }
          for (std::size_t d = 0; d < depth; ++d)
            answer.out[index(b, t, n, static_cast<std::int64_t>(d))] =
                rows.empty() ? 0.0 : static_cast<double>(rounded(sums[d] / sum));
          answer.lse.push_back(rows.empty() ? -std::numeric_limits<double>::infinity()
                                            : static_cast<double>(max + std::log(sum)));
        }
      }
  return answer;
}

}  // namespace psagen::kernels
