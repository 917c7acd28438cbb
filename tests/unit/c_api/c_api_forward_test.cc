// The C interface computes what the C++ interface does, in the caller's memory and no other.
#include <cstring>
#include <functional>
#include <limits>

#include "kernels/backend.h"
#include "kernels/psa/pyramid_sparse_attention.h"
#include "kernels/psa/token_order.h"
#include "tests/unit/c_api/c_api_problem.h"

namespace psagen::kernels {
namespace {

using psagen::testing::CApiProblem;
using psagen::testing::Handle;
using psagen::testing::make_handle;

// The same problem through the C++ interface.
struct CppProblem {
  explicit CppProblem(const CApiProblem& problem) : ops(make_ops(context)) {
    constexpr std::int64_t kWidth = CApiProblem::kWidth, kDim = CApiProblem::kDim;
    const Strides strides{CApiProblem::kTokens * kWidth, kWidth, kDim, 1};
    const auto part = [&](const float* data) {
      return ConstTensorView(reinterpret_cast<const std::byte*>(data), DType::kF32, heads, strides,
                             {});
    };
    q = part(problem.q());
    k = part(problem.k());
    v = part(problem.v());
  }

  PsaParams params(const psagen_desc& desc) const {
    PsaParams params;
    params.query_block = desc.query_block;
    params.key_block = desc.key_block;
    params.selection =
        desc.selection == PSAGEN_SELECT_QUOTA ? LevelSelection::kQuota : LevelSelection::kThreshold;
    params.estimator =
        desc.estimator == PSAGEN_ESTIMATE_POOLED      ? ImportanceEstimator::kPooledLogSumExp
        : desc.estimator == PSAGEN_ESTIMATE_STAGGERED ? ImportanceEstimator::kStaggered
        : desc.estimator == PSAGEN_ESTIMATE_SAMPLED   ? ImportanceEstimator::kSampled
                                                      : ImportanceEstimator::kUniform;
    params.similarity_cap = desc.similarity_cap == 1;
    std::copy_n(desc.similarity_thresholds, 3, params.similarity_thresholds.begin());
    for (std::size_t i = 0; i < 2; ++i)
      params.protected_tokens[i] = {desc.protected_begin[i], desc.protected_end[i]};
    return params;
  }

  const Shape heads{CApiProblem::kBatch, CApiProblem::kTokens, CApiProblem::kHeads,
                    CApiProblem::kDim};
  const Shape lse_shape{CApiProblem::kBatch, CApiProblem::kHeads, CApiProblem::kTokens};
  const double scale = 1.0 / 8.0;
  Context context;
  std::unique_ptr<Ops> ops;
  ConstTensorView q, k, v;
  Tensor out{context.allocator(), DType::kF32, heads};
  Tensor lse{context.allocator(), DType::kF32, lse_shape};
};

template <typename T>
bool same_bits(const std::vector<T>& found, const Tensor& wanted) {
  return std::memcmp(found.data(), wanted.view().bytes(), wanted.view().num_bytes()) == 0;
}

TEST(CApiForward, PsaIsThatOfCppBitForBit) {
  struct Variant {
    const char* name;
    std::function<void(psagen_desc&)> change;
  };
  const Variant variants[] = {
      {"quota", [](psagen_desc&) {}},
      {"threshold", [](psagen_desc& d) { d.selection = PSAGEN_SELECT_THRESHOLD; }},
      {"staggered", [](psagen_desc& d) { d.estimator = PSAGEN_ESTIMATE_STAGGERED; }},
      {"sampled",
       [](psagen_desc& d) {
         d.estimator = PSAGEN_ESTIMATE_SAMPLED;
         d.seed = 5;
       }},
      {"uniform", [](psagen_desc& d) { d.estimator = PSAGEN_ESTIMATE_UNIFORM; }},
      {"protected tokens",
       [](psagen_desc& d) {
         d.protected_begin[1] = 3;
         d.protected_end[1] = 40;
       }},
      {"similarity cap",
       [](psagen_desc& d) {
         d.similarity_cap = 1;
         for (double& threshold : d.similarity_thresholds) threshold = 0.05;
       }},
  };
  const Handle handle = make_handle();
  for (const Variant& variant : variants) {
    CApiProblem problem;
    variant.change(problem.desc);
    std::vector<std::uint8_t> levels(problem.num_levels());
    std::vector<float> nominal(4), executed(4);
    const psagen_psa_report report{levels.data(), nominal.data(), executed.data()};
    ASSERT_EQ(problem.psa(handle.get(), &report), PSAGEN_OK) << psagen_last_error(handle.get());

    CppProblem cpp(problem);
    Tensor cpp_nominal(cpp.context.allocator(), DType::kF32, {2, 2});
    Tensor cpp_executed(cpp.context.allocator(), DType::kF32, {2, 2});
    PyramidSparseAttention psa(*cpp.ops, 2, 300, 2, 64, cpp.params(problem.desc));
    psa.forward(*cpp.ops, cpp.q, cpp.k, cpp.v, cpp.scale, {.seed = problem.desc.seed}, cpp.out,
                cpp.lse, {.nominal = cpp_nominal, .executed = cpp_executed});
    EXPECT_TRUE(same_bits(problem.out, cpp.out)) << variant.name;
    EXPECT_TRUE(same_bits(problem.lse, cpp.lse)) << variant.name;
    EXPECT_TRUE(same_bits(nominal, cpp_nominal)) << variant.name;
    EXPECT_TRUE(same_bits(executed, cpp_executed)) << variant.name;
    EXPECT_EQ(std::memcmp(levels.data(), psa.levels().bytes(), levels.size()), 0) << variant.name;
  }
}

TEST(CApiForward, GivenLevelsAreUsed) {
  const Handle handle = make_handle();
  CApiProblem problem;
  std::vector<std::uint8_t> levels(problem.num_levels());
  const psagen_psa_report report{levels.data(), nullptr, nullptr};
  ASSERT_EQ(problem.psa(handle.get(), &report), PSAGEN_OK);
  const std::vector<float> chosen = problem.out;

  std::size_t bytes = 0;
  ASSERT_EQ(psagen_sparse_attention_workspace(handle.get(), &problem.desc, &bytes), PSAGEN_OK);
  std::vector<unsigned char> workspace(bytes);
  const auto attend = [&] {
    std::fill(problem.out.begin(), problem.out.end(), -1.0f);
    return psagen_sparse_attention_forward(
        handle.get(), &problem.desc, problem.q(), problem.k(), problem.v(), levels.data(),
        problem.out.data(), problem.lse.data(), nullptr, workspace.data(), bytes, nullptr);
  };
  ASSERT_EQ(attend(), PSAGEN_OK) << psagen_last_error(handle.get());
  EXPECT_EQ(problem.out, chosen);

  std::fill_n(levels.begin(), problem.key_blocks(), std::uint8_t{0});  // of the first query block
  ASSERT_EQ(attend(), PSAGEN_OK);
  EXPECT_EQ(problem.out[0], 0.0f);
  EXPECT_EQ(problem.lse[0], -std::numeric_limits<float>::infinity());

  levels[3] = 3;
  EXPECT_EQ(attend(), PSAGEN_INVALID_ARGUMENT);
  EXPECT_STREQ(psagen_last_error(handle.get()), "levels[3] is 3; wanted 0, 1, 2, 4 or 8");
}

TEST(CApiForward, DenseIsThatOfCppBitForBit) {
  const Handle handle = make_handle();
  CApiProblem problem;
  std::size_t bytes = 0;
  ASSERT_EQ(psagen_attention_workspace(handle.get(), &problem.desc, &bytes), PSAGEN_OK);
  std::vector<unsigned char> workspace(bytes);
  ASSERT_EQ(psagen_attention_forward(handle.get(), &problem.desc, problem.q(), problem.k(),
                                     problem.v(), problem.out.data(), problem.lse.data(),
                                     workspace.data(), bytes, nullptr),
            PSAGEN_OK)
      << psagen_last_error(handle.get());
  CppProblem cpp(problem);
  cpp.ops->attention(
      {.q = cpp.q, .k = cpp.k, .v = cpp.v, .scale = cpp.scale, .out = cpp.out, .lse = cpp.lse});
  EXPECT_TRUE(same_bits(problem.out, cpp.out));
  EXPECT_TRUE(same_bits(problem.lse, cpp.lse));
}

TEST(CApiForward, TwoHandlesSideBySide) {
  const Handle one = make_handle("cpu", 1), three = make_handle("cpu", 3);
  CApiProblem first, second;
  second.desc.selection = PSAGEN_SELECT_THRESHOLD;
  ASSERT_EQ(first.psa(one.get()), PSAGEN_OK);
  ASSERT_EQ(second.psa(three.get()), PSAGEN_OK);
  const std::vector<float> quota = first.out, threshold = second.out;
  EXPECT_NE(quota, threshold);
  ASSERT_EQ(first.psa(three.get()), PSAGEN_OK);
  ASSERT_EQ(second.psa(one.get()), PSAGEN_OK);
  EXPECT_EQ(first.out, quota);
  EXPECT_EQ(second.out, threshold);

  first.desc.tokens = 0;
  std::size_t bytes = 0;
  EXPECT_EQ(psagen_psa_workspace(one.get(), &first.desc, &bytes), PSAGEN_INVALID_ARGUMENT);
  EXPECT_STRNE(psagen_last_error(one.get()), "");
  EXPECT_STREQ(psagen_last_error(three.get()), "");
}

// Wherever it begins, the workspace of the size asked for is enough, and nothing around it is
// written.
TEST(CApiForward, WorkspaceIsExactlyEnough) {
  constexpr std::size_t kMargin = 512;
  const Handle handle = make_handle();
  CApiProblem problem;
  using Forward = std::function<psagen_status(void*, std::size_t)>;
  const std::vector<std::uint8_t> levels(problem.num_levels(), 2);
  const psagen_desc* const desc = &problem.desc;
  float* const out = problem.out.data();
  const struct {
    psagen_status (*query)(psagen_handle*, const psagen_desc*, std::size_t*);
    Forward forward;
  } calls[] = {
      {psagen_psa_workspace,
       [&](void* memory, std::size_t bytes) {
         return psagen_psa_forward(handle.get(), desc, problem.q(), problem.k(), problem.v(), out,
                                   nullptr, nullptr, memory, bytes, nullptr);
       }},
      {psagen_sparse_attention_workspace,
       [&](void* memory, std::size_t bytes) {
         return psagen_sparse_attention_forward(handle.get(), desc, problem.q(), problem.k(),
                                                problem.v(), levels.data(), out, nullptr, nullptr,
                                                memory, bytes, nullptr);
       }},
      {psagen_attention_workspace,
       [&](void* memory, std::size_t bytes) {
         return psagen_attention_forward(handle.get(), desc, problem.q(), problem.k(), problem.v(),
                                         out, nullptr, memory, bytes, nullptr);
       }},
  };
  for (const auto& call : calls) {
    std::size_t bytes = 0;
    ASSERT_EQ(call.query(handle.get(), desc, &bytes), PSAGEN_OK);
    std::vector<unsigned char> memory(bytes + 2 * kMargin);
    for (const std::size_t offset : {0, 1, 64, 255}) {
      std::fill(memory.begin(), memory.end(), static_cast<unsigned char>(0xa5));
      unsigned char* const begin = memory.data() + offset;
      ASSERT_EQ(call.forward(begin, bytes), PSAGEN_OK) << psagen_last_error(handle.get());
      for (std::size_t i = 0; i < offset; ++i) ASSERT_EQ(memory[i], 0xa5);
      for (std::size_t i = offset + bytes; i < memory.size(); ++i) ASSERT_EQ(memory[i], 0xa5);
    }
    EXPECT_EQ(call.forward(memory.data(), bytes - 1), PSAGEN_INVALID_ARGUMENT);
    EXPECT_EQ(psagen_last_error(handle.get()), "workspace_bytes is " + std::to_string(bytes - 1) +
                                                   "; this call wants " + std::to_string(bytes));
    EXPECT_EQ(call.forward(nullptr, bytes), PSAGEN_INVALID_ARGUMENT);
    EXPECT_EQ(psagen_last_error(handle.get()),
              "workspace is null; this call wants " + std::to_string(bytes) + " bytes");
  }
}

TEST(CApiForward, TokenOrderIsThatOfCpp) {
  std::vector<std::int32_t> order(3 * 5 * 7);
  ASSERT_EQ(psagen_pyramid_token_order(3, 5, 7, order.data()), PSAGEN_OK);
  EXPECT_EQ(order, pyramid_token_order({3, 5, 7}));
  EXPECT_EQ(psagen_pyramid_token_order(0, 5, 7, order.data()), PSAGEN_INVALID_ARGUMENT);
  EXPECT_EQ(psagen_pyramid_token_order(1 << 20, 1 << 20, 1 << 30, order.data()),
            PSAGEN_INVALID_ARGUMENT);
  EXPECT_EQ(psagen_pyramid_token_order(3, 5, 7, nullptr), PSAGEN_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace psagen::kernels
