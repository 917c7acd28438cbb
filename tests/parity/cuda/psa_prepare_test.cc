// What comes before sparse attention on the GPU: the pyramid and the importance against the
// double-precision formulas; levels, order and density bit for bit against the host's rules, given
// the importance that the GPU found.
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>

#include "kernels/psa/block_levels.h"
#include "kernels/psa/level_allocation.h"
#include "kernels/psa/sampling.h"
#include "kernels/psa/uniform_score.h"
#include "kernels/reference/psa/pyramid_sparse_attention.h"
#include "tests/parity/cuda/cuda_parity.h"

namespace psagen::kernels {
namespace {

struct Size {
  std::int64_t batch = 1, tokens = 0, heads = 1, depth = 64;
  int key_block = 128, query_block = 128;
};

// q, k and v as parts of one projection, on both sides, and what the GPU makes of them.
struct Problem {
  Size size;
  Mirrored qkv;  // [B, L, 3 N D]
  PyramidShape shape;
  Tensor keys, values, log2_weight, level_caps;
  Tensor importance, levels, order, nominal_density;

  std::int64_t query_blocks() const {
    return (size.tokens + size.query_block - 1) / size.query_block;
  }
  std::int64_t key_blocks() const { return shape.key_blocks(); }
  std::int64_t all_heads() const { return size.batch * size.heads; }
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(size.depth)); }

  TensorView part(std::int64_t index) {
    const std::int64_t width = size.heads * size.depth;
    return qkv.device.view()
        .slice(2, index * width, (index + 1) * width)
        .split_last(size.heads, size.depth);
  }
  Pyramid pyramid() {
    Pyramid result;
    result.shape = shape;
    result.keys = keys;
    result.values = values;
    result.log2_weight = log2_weight;
    result.level_caps = level_caps;
    return result;
  }
};

class PsaPrepareCuda : public CudaParity {
 protected:
  static constexpr std::array<double, 3> kThresholds = {0.95, 0.90, 0.86};

  // Values that change slowly along the sequence; keys have a mean of their own.
  Mirrored smooth(const Size& size, std::uint64_t seed) {
    const Shape shape = {size.batch, size.tokens, 3 * size.heads * size.depth};
    const Mirrored noise = random(shape, seed, DType::kF32, std::sqrt(3.0));
    const float* from = noise.host.view().data<float>();
    Tensor host(host_memory_, dtype(), shape);
    const std::int64_t width = shape[2], part = size.heads * size.depth;
    std::vector<float> walk(static_cast<std::size_t>(width));
    for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
      float& value = walk[static_cast<std::size_t>(i % width)];
      value = i / width % size.tokens == 0 ? from[i] : 0.97f * value + 0.243f * from[i];
      const std::int64_t which = i % width / part;
      store(host.view(), i, which == 0 ? 3.0f * value : value + 0.5f);
    }
    return on_both(std::move(host));
  }

  Tensor on_device(DType type, Shape shape) { return std::move(poisoned(shape, type).device); }

  Problem problem(const Size& size, std::uint64_t seed) {
    Problem p;
    p.size = size;
    p.qkv = smooth(size, seed);
    const PyramidFormat format = ops().pyramid_format(dtype());
    p.shape = {size.tokens, size.key_block, format.finest_level};
    const Shape rows = {size.batch, size.heads, p.shape.total_rows(), size.depth};
    p.keys = on_device(format.dtype, rows);
    p.values = on_device(format.dtype, rows);
    p.log2_weight = on_device(DType::kF32, {p.shape.total_rows()});
    p.level_caps = on_device(DType::kU8, {size.batch, size.heads, p.key_blocks()});
    const Shape pairs = {size.batch, size.heads, p.query_blocks(), p.key_blocks()};
    p.importance = on_device(DType::kF32, pairs);
    p.levels = on_device(DType::kU8, pairs);
    p.order = on_device(DType::kI32, {p.all_heads() * p.query_blocks()});
    p.nominal_density = on_device(DType::kF32, {size.batch, size.heads});
    return p;
  }

  void build(Problem& p) {
    ops().build_pyramid({.k = p.part(1),
                         .v = p.part(2),
                         .similarity_thresholds = kThresholds,
                         .pyramid = p.pyramid()});
  }

  static PsaParams params(const Size& size, LevelSelection selection, bool cap = false) {
    PsaParams params;
    params.query_block = size.query_block;
    params.key_block = size.key_block;
    params.selection = selection;
    if (selection == LevelSelection::kQuota)
      params.level_bounds = {0.10, 0.20, 0.30, 0.60};
    else
      params.level_bounds = {0.40, 0.55, 0.70, 0.90};
    params.similarity_cap = cap;
    return params;
  }

  SelectBlocksArgs select_args(Problem& p, const PsaParams& params) {
    return {.q = p.part(0),
            .k = p.part(1),
            .pyramid = p.pyramid(),
            .scale = p.scale(),
            .params = params,
            .importance = p.importance,
            .levels = p.levels,
            .order = p.order,
            .nominal_density = p.nominal_density};
  }

  template <typename T>
  std::vector<T> bytes_of(const Tensor& device) {
    Tensor host(host_memory_, device.view().dtype(), device.shape());
    ops().copy(device, host);
    const T* data = host.view().template data<T>();
    return {data, data + host.view().num_elements()};
  }

  reference::PsaProblem reference_problem(Problem& p, std::int64_t batch, std::int64_t head) {
    const std::vector<double> all = reference::elements<double>(p.qkv.host);
    reference::PsaProblem result;
    result.tokens = p.size.tokens;
    result.depth = p.size.depth;
    result.scale = p.scale();
    result.query_block = p.size.query_block;
    result.key_block = p.size.key_block;
    std::vector<double>* const parts[] = {&result.q, &result.k, &result.v};
    for (std::int64_t part = 0; part < 3; ++part)
      for (std::int64_t t = 0; t < p.size.tokens; ++t)
        for (std::int64_t d = 0; d < p.size.depth; ++d)
          parts[part]->push_back(all[static_cast<std::size_t>(
              (((batch * p.size.tokens + t) * 3 + part) * p.size.heads + head) * p.size.depth +
              d)]);
    return result;
  }

  // Means over 2, 4, 8 tokens: in double, and in float32 rounded once.
  void expect_pyramid(Problem& p) {
    for (std::int64_t part = 1; part < 3; ++part) {
      std::vector<double> truth, naive;
      for (std::int64_t batch = 0; batch < p.size.batch; ++batch)
        for (std::int64_t head = 0; head < p.size.heads; ++head) {
          const reference::PsaProblem r = reference_problem(p, batch, head);
          append_means(part == 1 ? r.k : r.v, p, truth, naive);
        }
      expect_close(values(part == 1 ? p.keys : p.values), truth, naive,
                   part == 1 ? "keys" : "values");
    }
  }

  void append_means(const std::vector<double>& rows, const Problem& p, std::vector<double>& truth,
                    std::vector<double>& naive) {
    for (const int level : {2, 4, 8})
      for (std::int64_t first = 0; first < p.key_blocks() * p.size.key_block; first += level) {
        const std::int64_t end = std::min(first + level, p.size.tokens);
        for (std::int64_t d = 0; d < p.size.depth; ++d) {
          double sum = 0.0;
          float single = 0.0f;
          for (std::int64_t t = first; t < end; ++t) {
            sum += rows[static_cast<std::size_t>(t * p.size.depth + d)];
            single += static_cast<float>(rows[static_cast<std::size_t>(t * p.size.depth + d)]);
          }
          const std::int64_t count = std::max<std::int64_t>(end - first, 1);
          truth.push_back(sum / static_cast<double>(count));
          naive.push_back(rounded(single / static_cast<float>(count), dtype()));
        }
      }
  }

  void expect_weights(Problem& p) {
    const std::vector<float> weights = bytes_of<float>(p.log2_weight);
    std::size_t row = 0;
    for (const int level : {2, 4, 8})
      for (std::int64_t first = 0; first < p.key_blocks() * p.size.key_block;
           first += level, ++row) {
        const std::int64_t tokens = std::min<std::int64_t>(p.size.tokens - first, level);
        if (tokens > 0)
          EXPECT_NEAR(weights[row], std::log2(static_cast<double>(tokens)), 3e-7) << row;
        else
          EXPECT_EQ(weights[row], -std::numeric_limits<float>::infinity()) << row;
      }
    EXPECT_EQ(row, weights.size());
  }

  // Importance from the rows the pyramid holds and, where the matrix units take them, from means
  // rounded to their type: what is left is the rounding of sums and exponentials.
  std::vector<double> importance_of_stored_rows(Problem& p, std::int64_t batch, std::int64_t head,
                                                ImportanceEstimator estimator) {
    const std::int64_t group = queries_of_row(estimator);
    const reference::PsaProblem r = reference_problem(p, batch, head);
    const std::vector<double> keys = values(p.keys);
    const std::int64_t depth = p.size.depth, block_rows = p.size.key_block / 8;
    const std::int64_t first_row =
        (batch * p.size.heads + head) * p.shape.total_rows() + p.shape.row_begin(3, 0);
    const bool by_matrix = dtype() != DType::kF32 && (depth == 64 || depth == 128);
    std::vector<double> result;
    for (std::int64_t i = 0; i < p.query_blocks(); ++i) {
      std::vector<double> row(static_cast<std::size_t>(p.key_blocks()), 0.0);
      const std::int64_t end = std::min((i + 1) * p.size.query_block, p.size.tokens);
      for (std::int64_t begin = i * p.size.query_block; begin < end; begin += group) {
        std::int64_t first = begin, last = std::min(begin + group, end);
        if (estimator == ImportanceEstimator::kStaggered) {
          first = std::min(begin + staggered_query(static_cast<int>(begin / group)), end - 1);
          last = first + 1;
        }
        std::vector<double> mean(static_cast<std::size_t>(depth), 0.0);
        for (std::int64_t d = 0; d < depth; ++d) {
          double& value = mean[static_cast<std::size_t>(d)];
          for (std::int64_t t = first; t < last; ++t)
            value += r.q[static_cast<std::size_t>(t * depth + d)];
          value /= static_cast<double>(last - first);
          const double factor = p.scale() / std::log(2.0);  // rounded as they are scaled
          if (by_matrix) value = rounded(value * factor, dtype()) / factor;
        }
        std::vector<double> mass;
        for (std::int64_t j = 0; j < p.key_blocks(); ++j) {
          double sum = 0.0;  // scores are small enough to do without a maximum
          for (std::int64_t u = 0; u < block_rows; ++u) {
            const std::int64_t tokens =
                std::min<std::int64_t>(p.size.tokens - (j * block_rows + u) * 8, 8);
            if (tokens <= 0) continue;
            double product = 0.0;
            for (std::int64_t d = 0; d < depth; ++d)
              product +=
                  mean[static_cast<std::size_t>(d)] *
                  keys[static_cast<std::size_t>((first_row + j * block_rows + u) * depth + d)];
            sum += static_cast<double>(tokens) * std::exp(p.scale() * product);
          }
          mass.push_back(sum);
        }
        const double all = std::accumulate(mass.begin(), mass.end(), 0.0);
        for (std::size_t j = 0; j < row.size(); ++j) row[j] = std::max(row[j], mass[j] / all);
      }
      const double total = std::accumulate(row.begin(), row.end(), 0.0);
      for (const double value : row) result.push_back(value / total);
    }
    return result;
  }

  static void expect_relative(std::span<const float> found, const std::vector<double>& truth,
                              double tolerance, const std::string& what) {
    ASSERT_EQ(found.size(), truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i)
      ASSERT_NEAR(found[i], truth[i], tolerance * truth[i]) << what << ", pair " << i;
  }

  // Bit for bit what the host's rules make of the importance that was found.
  void expect_levels_follow_importance(Problem& p, const PsaParams& params) {
    const std::vector<float> importance = bytes_of<float>(p.importance);
    const std::vector<std::uint8_t> levels = bytes_of<std::uint8_t>(p.levels);
    const std::vector<std::uint8_t> caps = bytes_of<std::uint8_t>(p.level_caps);
    const std::size_t blocks = static_cast<std::size_t>(p.key_blocks());
    const std::size_t rows = levels.size() / blocks;
    std::vector<std::int32_t> sorted(blocks);
    std::vector<double> weight(blocks), cumulative(blocks);
    std::vector<std::uint8_t> wanted(blocks);
    for (std::size_t row = 0; row < rows; ++row) {
      std::span<const std::uint8_t> row_caps;
      if (params.similarity_cap)
        row_caps = std::span(caps).subspan(
            row / static_cast<std::size_t>(p.query_blocks()) * blocks, blocks);
      const std::int64_t head = static_cast<std::int64_t>(row) / p.query_blocks() % p.size.heads;
      allocate_levels(std::span(importance).subspan(row * blocks, blocks), row_caps,
                      params_of_head(params, head), {sorted, weight, cumulative}, wanted);
      protect_tokens(params, static_cast<std::int64_t>(row) % p.query_blocks(), wanted);
      ASSERT_EQ(0, std::memcmp(wanted.data(), levels.data() + row * blocks, blocks))
          << "row " << row;
    }
    std::vector<std::int64_t> columns(rows);
    std::vector<std::int32_t> order(rows);
    longest_first(levels, p.shape, p.query_blocks(), columns, order);
    EXPECT_EQ(bytes_of<std::int32_t>(p.order), order);
    const std::vector<float> density = bytes_of<float>(p.nominal_density);
    const std::size_t head_bytes = levels.size() / density.size();
    for (std::size_t head = 0; head < density.size(); ++head)
      EXPECT_EQ(density[head], static_cast<float>(nominal_density(
                                   std::span(levels).subspan(head * head_bytes, head_bytes))));
  }

  // Twice, bit for bit the same; and without the optional outputs the same levels.
  void select_and_check(Problem& p, const PsaParams& params) {
    const SelectBlocksArgs args = select_args(p, params);
    ops().select_blocks(args);
    const auto importance = bytes_of<float>(p.importance);
    const auto levels = bytes_of<std::uint8_t>(p.levels);
    expect_levels_follow_importance(p, params);
    ops().select_blocks(args);
    const auto again = bytes_of<float>(p.importance);
    EXPECT_EQ(0, std::memcmp(again.data(), importance.data(), again.size() * sizeof(float)));
    EXPECT_EQ(bytes_of<std::uint8_t>(p.levels), levels);
    SelectBlocksArgs bare = args;
    bare.importance = bare.order = bare.nominal_density = {};
    p.levels = on_device(DType::kU8, p.levels.shape());
    bare.levels = p.levels;
    ops().select_blocks(bare);
    EXPECT_EQ(bytes_of<std::uint8_t>(p.levels), levels);
  }

  // What rounding keys and pooled queries to the type may do to a weight of these problems.
  double rounding_of_importance() const {
    return dtype() == DType::kBF16 ? 0.06 : dtype() == DType::kF16 ? 0.01 : 5e-5;
  }
};

const Size kSizes[] = {
    {1, 5, 1, 64, 32, 32},      {2, 128, 3, 128, 128, 128}, {1, 653, 2, 64, 128, 128},
    {1, 653, 2, 128, 128, 256}, {2, 333, 2, 128, 64, 128},  {1, 1000, 1, 64, 64, 96},
    {1, 777, 3, 128, 32, 128},  {1, 1025, 2, 64, 32, 160},  {2, 700, 2, 96, 64, 64},
    {1, 300, 2, 24, 128, 128},  {1, 257, 1, 256, 128, 32},  {1, 4100, 1, 128, 128, 128},
    {1, 24000, 1, 64, 32, 256},  // 750 key blocks
};

std::string name_of(const Size& s) {
  return concat("batch ", s.batch, " tokens ", s.tokens, " heads ", s.heads, " depth ", s.depth,
                " key block ", s.key_block, " query block ", s.query_block);
}

TEST_P(PsaPrepareCuda, PyramidIsTheMeans) {
  for (const Size& size : kSizes) {
    if (size.tokens > 5000) continue;
    SCOPED_TRACE(name_of(size));
    Problem p = problem(size, 1);
    build(p);
    expect_pyramid(p);
    expect_weights(p);
    const auto keys = values(p.keys);
    build(p);
    EXPECT_EQ(values(p.keys), keys) << "two runs differ";
  }
}

TEST_P(PsaPrepareCuda, LevelCapsAreTheSimilarity) {
  std::array<int, 9> found{};
  for (const Size& size : kSizes) {
    if (size.tokens > 5000) continue;
    SCOPED_TRACE(name_of(size));
    Problem p = problem(size, 2);
    build(p);
    const std::vector<std::uint8_t> caps = bytes_of<std::uint8_t>(p.level_caps);
    std::size_t at = 0;
    for (std::int64_t batch = 0; batch < size.batch; ++batch)
      for (std::int64_t head = 0; head < size.heads; ++head) {
        const reference::PsaProblem r = reference_problem(p, batch, head);
        for (std::int64_t block = 0; block < p.key_blocks(); ++block, ++at) {
          int wanted = 1;
          bool is_close = false;  // a cosine in float32 may fall on either side
          for (std::size_t i = 0; i < 3; ++i) {
            const double similarity = reference::group_similarity(r, block, 2 << i);
            if (similarity > kThresholds[i]) wanted = 2 << i;
            is_close = is_close || std::abs(similarity - kThresholds[i]) < 1e-6;
          }
          EXPECT_TRUE(caps[at] == wanted || is_close)
              << "head " << head << " block " << block << ": " << int{caps[at]} << ", wanted "
              << wanted;
          ++found[caps[at] <= 8 ? caps[at] : 0];
        }
      }
  }
  EXPECT_GT(found[1] + found[2] + found[4], 0) << "no cap was below 8";
  EXPECT_GT(found[8], 0) << "no block agrees with itself";
}

TEST_P(PsaPrepareCuda, ImportanceAndLevels) {
  struct Way {
    LevelSelection selection;
    ImportanceEstimator estimator;
  };
  for (const Size& size : kSizes)
    for (const Way& way : {Way{LevelSelection::kQuota, ImportanceEstimator::kPooledLogSumExp},
                           Way{LevelSelection::kThreshold, ImportanceEstimator::kPooledLogSumExp},
                           Way{LevelSelection::kQuota, ImportanceEstimator::kStaggered}}) {
      SCOPED_TRACE(name_of(size));
      Problem p = problem(size, 3);
      build(p);
      PsaParams chosen = params(size, way.selection), capped = params(size, way.selection, true);
      chosen.estimator = capped.estimator = way.estimator;
      select_and_check(p, capped);
      PsaParams guarded = chosen;
      guarded.protected_tokens = {
          TokenSpan{0, 1}, TokenSpan{size.tokens / 2, std::min(size.tokens / 2 + 40, size.tokens)}};
      select_and_check(p, guarded);
      select_and_check(p, chosen);
      if (size.tokens > 5000) continue;
      const std::vector<float> importance = bytes_of<float>(p.importance);
      const std::size_t head_size = importance.size() / static_cast<std::size_t>(p.all_heads());
      for (std::int64_t head = 0; head < p.all_heads(); ++head) {
        const std::int64_t batch = head / size.heads, own = head % size.heads;
        const std::span<const float> found =
            std::span(importance).subspan(static_cast<std::size_t>(head) * head_size, head_size);
        expect_relative(found, importance_of_stored_rows(p, batch, own, way.estimator), 2e-4,
                        "stored rows");
        expect_relative(
            found,
            reference::pooled_importance(reference_problem(p, batch, own),
                                         way.estimator == ImportanceEstimator::kStaggered),
            rounding_of_importance(), "reference");
      }
    }
}

TEST_P(PsaPrepareCuda, SampledImportance) {
  for (const Size& size : {Size{1, 521, 2, 64, 128, 128}, Size{2, 300, 1, 128, 32, 64},
                           Size{1, 700, 1, 96, 64, 96}, Size{1, 500, 1, 256, 128, 256}}) {
    SCOPED_TRACE(name_of(size));
    Problem p = problem(size, 4);
    build(p);
    PsaParams sampled = params(size, LevelSelection::kThreshold);
    sampled.estimator = ImportanceEstimator::kSampled;
    sampled.seed = 1234567890123;
    select_and_check(p, sampled);
    const std::vector<float> importance = bytes_of<float>(p.importance);
    const std::size_t head_size = importance.size() / static_cast<std::size_t>(p.all_heads());
    for (std::int64_t head = 0; head < p.all_heads(); ++head)
      expect_relative(
          std::span(importance).subspan(static_cast<std::size_t>(head) * head_size, head_size),
          reference::sampled_importance(
              reference_problem(p, head / size.heads, head % size.heads),
              sampled_positions(sampled.seed, SampledSide::kQuery, head, size.query_block),
              sampled_positions(sampled.seed, SampledSide::kKey, head, size.key_block)),
          5e-5, concat("head ", head));
  }
}

TEST_P(PsaPrepareCuda, HeadsMayHaveBoundsOfTheirOwn) {
  const Size size = {2, 777, 3, 128, 32, 128};
  const LevelBounds bounds[] = {{0.1, 0.2, 0.3, 0.6}, {0.1, 0.2, 0.3, 0.6}, {1.0, 1.0, 1.0, 1.0}};
  for (const LevelSelection selection : {LevelSelection::kQuota, LevelSelection::kThreshold}) {
    Problem p = problem(size, 9);
    build(p);
    PsaParams by_head = params(size, selection);
    by_head.head_bounds = bounds;
    select_and_check(p, by_head);
  }
}

// Whatever exp2 of the device rounds to, the levels are those of the scores.
TEST_P(PsaPrepareCuda, UniformLevelsAreTheHosts) {
  const Size size = {1, 24000, 2, 64, 32, 256};
  Problem p = problem(size, 10);
  build(p);
  PsaParams uniform = params(size, LevelSelection::kQuota);
  uniform.estimator = ImportanceEstimator::kUniform;
  select_and_check(p, uniform);
  const std::vector<std::uint8_t> levels = bytes_of<std::uint8_t>(p.levels);
  const std::size_t blocks = static_cast<std::size_t>(p.key_blocks());
  std::vector<std::int32_t> sorted(blocks);
  std::vector<double> weight(blocks), cumulative(blocks);
  std::vector<float> scores(blocks);
  std::vector<std::uint8_t> wanted(blocks);
  std::size_t at = 0;
  for (std::uint32_t head = 0; head < 2; ++head)
    for (std::uint32_t i = 0; i < p.query_blocks(); ++i, at += blocks) {
      for (std::uint32_t j = 0; j < blocks; ++j) scores[j] = uniform_score(head, i, j);
      allocate_levels(scores, {}, uniform, {sorted, weight, cumulative}, wanted);
      ASSERT_EQ(0, std::memcmp(wanted.data(), levels.data() + at, blocks)) << head << ", " << i;
    }
}

// Rows whose importance is NaN have no weight anywhere; the others are not touched by them.
// The share that its mean would give counts for nothing; the other means of the block decide.
TEST_P(PsaPrepareCuda, NotANumberInAQueryCountsForNothing) {
  for (const LevelSelection selection : {LevelSelection::kQuota, LevelSelection::kThreshold}) {
    const Size size = {1, 1000, 1, 64, 64, 128};
    Problem p = problem(size, 5);
    store(p.qkv.host.view(), 200 * 3 * 64 + 7, std::numeric_limits<float>::quiet_NaN());
    p.qkv = on_both(std::move(p.qkv.host));
    build(p);
    select_and_check(p, params(size, selection));
    const std::vector<float> importance = bytes_of<float>(p.importance);
    for (const float value : importance) ASSERT_TRUE(std::isfinite(value));
  }
}

// More heads than the scratch memory holds the scores of at once.
TEST_P(PsaPrepareCuda, GroupsOfHeads) {
  if (dtype() == DType::kF32) GTEST_SKIP() << "the grouping knows no types";
  const Size size = {1, 8192, 110, 64, 32, 32};  // 256 KiB of scores a head
  Problem p = problem(size, 6);
  build(p);
  select_and_check(p, params(size, LevelSelection::kQuota));
}

TEST_P(PsaPrepareCuda, NamesRowsItCannotRead) {
  const Size size = {1, 100, 1, 64, 32, 32};
  Problem p = problem(size, 7);
  Mirrored wide = random({1, 100, 1, 65}, 8, dtype());
  const TensorView odd = wide.device.view();
  try {
    ops().build_pyramid({.k = odd.slice(3, 0, 64),
                         .v = p.part(2),
                         .similarity_thresholds = kThresholds,
                         .pyramid = p.pyramid()});
    FAIL() << "read rows of 65 elements";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_NE(error.message().find("multiples of 16 bytes"), std::string::npos) << error.message();
  }
}

PSAGEN_CUDA_PARITY(PsaPrepareCuda);

}  // namespace
}  // namespace psagen::kernels
