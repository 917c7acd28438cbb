#include "engine/config/known_models.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace psagen::engine {
namespace {

// Parameters of the transformer by the formulas of its layers (spec/wan 3).
double transformer_parameters(const TransformerConfig& c) {
  const double d = static_cast<double>(c.dim()), f = static_cast<double>(c.ffn_dim);
  const double attention = 4 * (d * d + d) + 2 * d;
  const double layer = 2 * attention + 2 * d + (2 * d * f + f + d) + 6 * d;
  const double text = static_cast<double>(c.text_dim) * d + d + d * d + d;
  const double time = static_cast<double>(c.freq_dim) * d + d + d * d + d + 6 * (d * d + d);
  const double patches = 4.0 * static_cast<double>(c.in_channels) * d + d;
  const double head = d * 4.0 * static_cast<double>(c.out_channels) +
                      4.0 * static_cast<double>(c.out_channels) + 2 * d;
  return static_cast<double>(c.num_layers) * layer + text + time + patches + head;
}

TEST(KnownModel, HasThePublishedNumberOfParameters) {
  EXPECT_NEAR(transformer_parameters(known_model("wan2.1-1.3b").transformer), 1.419e9, 0.001e9);
  EXPECT_NEAR(transformer_parameters(known_model("wan2.1-14b").transformer), 14.29e9, 0.01e9);
}

TEST(KnownModel, NamesWhatItDoesNotKnow) {
  testing::expect_error(ErrorCode::kInvalidArgument, {"'wan2.1-1.3'", "wan2.1-1.3b"},
                        [] { known_model("wan2.1-1.3"); });
}

}  // namespace
}  // namespace psagen::engine
