// The pyramid on the GPU: means, weights and similarity caps against the double-precision formulas.
#include <cmath>
#include <limits>

#include "tests/parity/cuda/psa_prepare_fixture.h"
#include "tests/parity/cuda/pyramid_bytes.h"

namespace psagen::kernels {
namespace {

class PyramidCuda : public PsaPrepareCuda {
 protected:
  // Means over 2, 4, 8 tokens: in double, and in float32 rounded once.
  void expect_pyramid(PrepareProblem& p) {
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

  void append_means(const std::vector<double>& rows, const PrepareProblem& p,
                    std::vector<double>& truth, std::vector<double>& naive) {
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

  void expect_weights(PrepareProblem& p) {
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

  // The first `count` rows of a level of a head.
  std::vector<std::byte> first_rows(const PrepareProblem& p, const Tensor& rows, std::int64_t head,
                                    int level_index, std::int64_t count) {
    const std::vector<std::byte> all = bytes(rows);
    const std::int64_t row_bytes = std::ssize(all) / (p.all_heads() * p.shape.total_rows());
    const auto first =
        all.begin() + (head * p.shape.total_rows() + p.shape.row_begin(level_index, 0)) * row_bytes;
    return {first, first + count * row_bytes};
  }
};

TEST_P(PyramidCuda, PyramidIsTheMeans) {
  for (const PrepareSize& size : kPrepareSizes) {
    if (size.tokens > 5000) continue;
    SCOPED_TRACE(name_of(size));
    PrepareProblem p = problem(size, 1);
    build(p);
    expect_pyramid(p);
    expect_weights(p);
    const auto keys = values(p.keys);
    build(p);
    EXPECT_EQ(values(p.keys), keys) << "two runs differ";
  }
}

TEST_P(PyramidCuda, LevelCapsAreTheSimilarity) {
  std::array<int, 9> found{};
  for (const PrepareSize& size : kPrepareSizes) {
    if (size.tokens > 5000) continue;
    SCOPED_TRACE(name_of(size));
    PrepareProblem p = problem(size, 2);
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

// The sequences begin alike; the row that averages the last token of the longer one differs.
TEST_P(PyramidCuda, AppendingATokenChangesOnlyItsRows) {
  constexpr std::int64_t kHeads = 2;
  for (const int key_block : {128, 64, 32})
    for (const std::int64_t depth : {64, 128})
      for (const std::int64_t tail : {0, 1, 7, 8, key_block - 1}) {
        const std::int64_t tokens = 2 * key_block + tail;
        PrepareProblem shorter = problem({1, tokens, kHeads, depth, key_block, 128}, 8);
        PrepareProblem longer = problem({1, tokens + 1, kHeads, depth, key_block, 128}, 8);
        SCOPED_TRACE(name_of(longer.size));
        build(shorter);
        build(longer);
        for (Tensor PrepareProblem::*const part : {&PrepareProblem::keys, &PrepareProblem::values})
          for (std::int64_t head = 0; head < kHeads; ++head)
            for (int i = 1; i < 4; ++i) {
              const std::int64_t whole = tokens >> i;
              EXPECT_EQ(first_rows(shorter, shorter.*part, head, i, whole),
                        first_rows(longer, longer.*part, head, i, whole));
              if (tail == 0) continue;  // the row after them is of a block that is not there
              EXPECT_NE(first_rows(shorter, shorter.*part, head, i, whole + 1),
                        first_rows(longer, longer.*part, head, i, whole + 1));
            }
        const auto caps = bytes_of<std::uint8_t>(shorter.level_caps),
                   longer_caps = bytes_of<std::uint8_t>(longer.level_caps);
        for (std::int64_t head = 0; head < kHeads; ++head)
          for (std::int64_t block = 0; block < tokens / key_block; ++block)
            EXPECT_EQ(caps[static_cast<std::size_t>(head * shorter.key_blocks() + block)],
                      longer_caps[static_cast<std::size_t>(head * longer.key_blocks() + block)]);
      }
}

TEST_P(PyramidCuda, PartsAreMadeAlone) {
  for (const PrepareSize& size : kPrepareSizes) {
    if (size.tokens > 5000) continue;
    for (const bool caps : {false, true}) {
      SCOPED_TRACE(concat(name_of(size), caps ? ", caps" : ""));
      PrepareProblem whole = problem(size, 3);
      const Shape rows = whole.keys.shape();
      const auto blank = bytes(whole.keys), no_weights = bytes(whole.log2_weight);
      const auto no_caps = bytes(whole.level_caps);
      const auto build_part = [&](PrepareProblem& p, PyramidPart part) {
        Pyramid pyramid = p.pyramid();
        if (!caps) pyramid.level_caps = {};
        ops().build_pyramid({.k = p.part(1),
                             .v = p.part(2),
                             .similarity_thresholds = kThresholds,
                             .part = part,
                             .pyramid = pyramid});
      };
      build_part(whole, PyramidPart::kAll);
      const auto all_keys = bytes(whole.keys);
      for (const PyramidPart part :
           {PyramidPart::kCoarsestKeys, PyramidPart::kKeys, PyramidPart::kValues}) {
        PrepareProblem p = problem(size, 3);
        build_part(p, part);
        const bool has_keys = part != PyramidPart::kValues;
        const auto keys = !has_keys ? blank
                          : part == PyramidPart::kKeys
                              ? all_keys
                              : coarsest_of(all_keys, blank, rows, p.shape);
        EXPECT_TRUE(bytes(p.keys) == keys) << static_cast<int>(part);
        EXPECT_TRUE(bytes(p.values) == (has_keys ? blank : bytes(whole.values)))
            << static_cast<int>(part);
        EXPECT_TRUE(bytes(p.log2_weight) == (has_keys ? bytes(whole.log2_weight) : no_weights))
            << static_cast<int>(part);
        EXPECT_TRUE(bytes(p.level_caps) == (has_keys ? bytes(whole.level_caps) : no_caps))
            << static_cast<int>(part);
      }
    }
  }
}

TEST_P(PyramidCuda, NamesRowsItCannotRead) {
  const PrepareSize size = {1, 100, 1, 64, 32, 32};
  PrepareProblem p = problem(size, 7);
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

PSAGEN_CUDA_PARITY(PyramidCuda);

}  // namespace
}  // namespace psagen::kernels
