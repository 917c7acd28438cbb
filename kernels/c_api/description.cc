#include "kernels/c_api/description.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>

#include "kernels/core/error.h"
#include "kernels/psa/pyramid_sparse_attention.h"

namespace psagen::kernels {
namespace {

// Of the first version of the struct; stays when fields are added at its end.
constexpr std::size_t kSmallestSize =
    offsetof(psagen_desc, similarity_thresholds) + sizeof(psagen_desc::similarity_thresholds);

// Of a tensor: what is counted from it then fits 64 bits.
constexpr std::int64_t kMostBytes = std::int64_t{1} << 44;

template <typename... Parts>
void expect(bool condition, const Parts&... parts) {
  PSAGEN_CHECK(condition, ErrorCode::kInvalidArgument, "desc.", parts...);
}

std::int64_t read_size(const char* field, std::int64_t value) {
  constexpr std::int64_t kLargest = std::numeric_limits<std::int32_t>::max();
  expect(value >= 1 && value <= kLargest, field, " is ", value, "; wanted 1 to ", kLargest);
  return value;
}

DType read_dtype(const char* field, std::int32_t value, Device device) {
  expect(value == PSAGEN_F32 || value == PSAGEN_F16 || value == PSAGEN_BF16, field, " is ", value,
         "; wanted PSAGEN_F32, PSAGEN_F16 or PSAGEN_BF16");
  const DType dtype = value == PSAGEN_F32   ? DType::kF32
                      : value == PSAGEN_F16 ? DType::kF16
                                            : DType::kBF16;
  PSAGEN_CHECK(device.kind != DeviceKind::kCpu || dtype == DType::kF32, ErrorCode::kUnsupported,
               "desc.", field, " is ", dtype_name(dtype), "; the CPU computes in F32");
  return dtype;
}

// a * b + c
std::int64_t multiply_add(std::int64_t a, std::int64_t b, std::int64_t c = 0) {
  std::int64_t result = 0;
  expect(!__builtin_mul_overflow(a, b, &result) && !__builtin_add_overflow(result, c, &result),
         "batch, tokens, heads, head_dim and strides are too large: ", a, " times ", b,
         " elements");
  return result;
}

// Rows of D neighbours, which may lie in any order but not over each other.
Strides read_strides(const char* name, const psagen_strides& given, const Shape& heads) {
  if (given.batch == 0 && given.token == 0 && given.head == 0) return contiguous_strides(heads);
  struct Axis {
    const char* name;
    std::int64_t extent, stride;
  };
  std::array<Axis, 3> axes = {{{"batch", heads[0], given.batch},
                               {"token", heads[1], given.token},
                               {"head", heads[2], given.head}}};
  std::stable_sort(axes.begin(), axes.end(),
                   [](const Axis& a, const Axis& b) { return a.stride < b.stride; });
  std::int64_t covered = heads[3];
  for (const Axis& axis : axes) {
    if (axis.extent == 1) continue;
    expect(axis.stride >= covered, name, ".", axis.name, " is ", axis.stride,
           " elements; wanted at least ", covered, ", so that rows do not overlap");
    covered = multiply_add(axis.extent - 1, axis.stride, covered);
  }
  multiply_add(covered, 4);  // bytes
  return Strides{given.batch, given.token, given.head, 1};
}

ImportanceEstimator read_estimator(std::int32_t value) {
  switch (value) {
    case PSAGEN_ESTIMATE_POOLED:
      return ImportanceEstimator::kPooledLogSumExp;
    case PSAGEN_ESTIMATE_STAGGERED:
      return ImportanceEstimator::kStaggered;
    case PSAGEN_ESTIMATE_SAMPLED:
      return ImportanceEstimator::kSampled;
    case PSAGEN_ESTIMATE_UNIFORM:
      return ImportanceEstimator::kUniform;
    default:
      expect(false, "estimator is ", value,
             "; wanted PSAGEN_ESTIMATE_POOLED, PSAGEN_ESTIMATE_STAGGERED, PSAGEN_ESTIMATE_SAMPLED "
             "or PSAGEN_ESTIMATE_UNIFORM");
      return {};
  }
}

}  // namespace

psagen_desc default_description() {
  const PsaParams params;
  psagen_desc desc;
  std::memset(&desc, 0, sizeof(desc));
  desc.struct_size = sizeof(desc);
  desc.batch = 1;
  desc.query_block = params.query_block;
  desc.key_block = params.key_block;
  desc.selection = PSAGEN_SELECT_QUOTA;
  desc.estimator = PSAGEN_ESTIMATE_POOLED;
  std::copy(params.level_bounds.begin(), params.level_bounds.end(), desc.level_bounds);
  desc.min_full_ratio = params.min_full_ratio;
  std::copy(params.similarity_thresholds.begin(), params.similarity_thresholds.end(),
            desc.similarity_thresholds);
  return desc;
}

psagen_desc complete_description(const psagen_desc* desc) {
  PSAGEN_CHECK(desc != nullptr, ErrorCode::kInvalidArgument, "desc is null");
  const std::uint64_t size = desc->struct_size;
  expect(size >= kSmallestSize, "struct_size is ", size, "; psagen_desc_init sets it, to at least ",
         kSmallestSize);
  psagen_desc complete = default_description();
  expect(size <= sizeof(complete), "struct_size is ", size, ", of a later version; this one has ",
         sizeof(complete));
  std::memcpy(&complete, desc, static_cast<std::size_t>(size));
  return complete;
}

AttentionProblem read_problem(const psagen_desc& desc, Device device) {
  AttentionProblem problem;
  problem.heads = {read_size("batch", desc.batch), read_size("tokens", desc.tokens),
                   read_size("heads", desc.heads), read_size("head_dim", desc.head_dim)};
  const Shape& heads = problem.heads;
  std::int64_t bytes = 4;
  for (int axis = 0; axis < heads.rank(); ++axis) bytes = multiply_add(bytes, heads[axis]);
  expect(bytes <= kMostBytes, "batch, tokens, heads and head_dim are too large: tensors of ", bytes,
         " bytes, wanted at most ", kMostBytes);
  problem.scored = read_dtype("qk_dtype", desc.qk_dtype, device);
  problem.summed = read_dtype("v_dtype", desc.v_dtype, device);
  problem.q = read_strides("q", desc.q, heads);
  problem.k = read_strides("k", desc.k, heads);
  problem.v = read_strides("v", desc.v, heads);
  problem.out = read_strides("out", desc.out, heads);
  expect(std::isfinite(desc.scale) && desc.scale >= 0.0, "scale is ", desc.scale,
         "; wanted a positive number, or 0 for 1 / sqrt(head_dim)");
  problem.scale =
      desc.scale > 0.0 ? desc.scale : 1.0 / std::sqrt(static_cast<double>(desc.head_dim));
  return problem;
}

PsaParams read_psa_params(const psagen_desc& desc) {
  PsaParams params;
  params.query_block = desc.query_block;
  params.key_block = desc.key_block;
  expect(desc.selection == PSAGEN_SELECT_QUOTA || desc.selection == PSAGEN_SELECT_THRESHOLD,
         "selection is ", desc.selection,
         "; wanted PSAGEN_SELECT_QUOTA or PSAGEN_SELECT_THRESHOLD");
  params.selection =
      desc.selection == PSAGEN_SELECT_QUOTA ? LevelSelection::kQuota : LevelSelection::kThreshold;
  params.estimator = read_estimator(desc.estimator);
  params.seed = desc.seed;
  std::copy_n(desc.level_bounds, 4, params.level_bounds.begin());
  params.min_full_ratio = desc.min_full_ratio;
  expect(desc.similarity_cap == 0 || desc.similarity_cap == 1, "similarity_cap is ",
         desc.similarity_cap, "; wanted 0 or 1");
  params.similarity_cap = desc.similarity_cap == 1;
  for (std::size_t i = 0; i < params.protected_tokens.size(); ++i)
    params.protected_tokens[i] = {desc.protected_begin[i], desc.protected_end[i]};
  std::copy_n(desc.similarity_thresholds, 3, params.similarity_thresholds.begin());
  validate(params);
  return params;
}

}  // namespace psagen::kernels
