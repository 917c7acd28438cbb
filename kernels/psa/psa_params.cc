#include "kernels/psa/psa_params.h"

#include <string>

#include "kernels/core/error.h"
#include "kernels/psa/pyramid_sparse_attention.h"

namespace psagen::kernels {
namespace {

void check_share(const char* field, double value) {
  PSAGEN_CHECK(value >= 0.0 && value <= 1.0, ErrorCode::kInvalidArgument, "psa: ", field, " is ",
               value, "; it must be between 0 and 1");
}

void check_level_bounds(const LevelBounds& bounds) {
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    check_share("level_bounds", bounds[i]);
    PSAGEN_CHECK(i == 0 || bounds[i] >= bounds[i - 1], ErrorCode::kInvalidArgument,
                 "psa: level_bounds must not decrease, but ", bounds[i], " follows ",
                 bounds[i - 1]);
  }
  PSAGEN_CHECK(bounds.back() > 0.0, ErrorCode::kInvalidArgument,
               "psa: level_bounds are all 0, so every block would be skipped");
}

}  // namespace

void validate(const PsaParams& params) {
  PSAGEN_CHECK(
      params.query_block >= 32 && params.query_block <= 256 && params.query_block % 32 == 0,
      ErrorCode::kInvalidArgument, "psa: query_block is ", params.query_block,
      "; it must be a multiple of 32 up to 256");
  PSAGEN_CHECK(params.key_block == 32 || params.key_block == 64 || params.key_block == 128,
               ErrorCode::kInvalidArgument, "psa: key_block is ", params.key_block,
               "; it must be 32, 64 or 128");
  check_level_bounds(params.level_bounds);
  for (const LevelBounds& bounds : params.head_bounds) check_level_bounds(bounds);
  PSAGEN_CHECK(params.estimator != ImportanceEstimator::kUniform ||
                   params.selection == LevelSelection::kQuota,
               ErrorCode::kInvalidArgument,
               "psa: estimator \"uniform\" knows no importance to add up; it needs selection "
               "\"quota\"");
  for (const TokenSpan& span : params.protected_tokens)
    PSAGEN_CHECK(span.begin >= 0 && span.begin <= span.end, ErrorCode::kInvalidArgument,
                 "psa: protected_tokens are [", span.begin, ", ", span.end,
                 "); a span begins at 0 or later and does not end before");
  check_share("min_full_ratio", params.min_full_ratio);
  for (const double threshold : params.similarity_thresholds)
    PSAGEN_CHECK(threshold >= -1.0 && threshold <= 1.0, ErrorCode::kInvalidArgument,
                 "psa: a value of similarity_thresholds is ", threshold,
                 "; cosines are between -1 and 1");
}

}  // namespace psagen::kernels
