// The VAE rows of spec/wan 10: formula weights and input, output statistics before the clamp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/vae/decoder.h"
#include "kernels/backend.h"
#include "tests/support/collect_frames.h"
#include "tests/support/formula_weights.h"
#include "tests/support/vae_decoder_tensors.h"
#include "tests/support/wan_vae_config.h"

namespace psagen::engine {
namespace {

struct GoldenRow {
  std::int64_t begin, end;  // frames
  double mean, rms;
  double first[4];
  double last[2];
};

constexpr GoldenRow kGoldenRows[] = {
    {0,
     9,
     -0.128872,
     0.528749,
     {-0.220785, -0.281680, -0.311767, -0.326766},
     {-0.373113, -0.034925}},
    {0, 1, -0.141939, 0.395191, {-0.220785, -0.281680, -0.311767, -0.326766}, {0.246069, 0.490825}},
    {1, 2, -0.196405, 0.498640, {-0.372517, -0.776065, -0.510009, -0.276405}, {0.360323, 0.420431}},
    {5,
     6,
     -0.375527,
     0.668351,
     {-0.351473, -0.331761, -0.708710, -0.375819},
     {-0.027677, -0.189666}},
};

std::shared_ptr<const WeightSource> formula_decoder(const VaeConfig& config) {
  return std::make_shared<testing::FormulaSource>(testing::VaeDecoderTensors(config).shapes());
}

TEST(FormulaDecoder, GivesTheGoldenStatistics) {
  Context context;
  const auto ops = kernels::make_ops(context);
  const VaeConfig config = testing::wan_vae_config(8, {1, 2, 4, 4}, 2);
  const Weights weights(formula_decoder(config), context);
  const VaeDecoder decoder(config, weights, *ops);
  weights.expect_all_read();

  Tensor latent(context.allocator(), DType::kF32, {1, 16, 3, 2, 4});
  const std::vector<float> x = testing::formula_values("x", {16, 3, 2, 4});
  std::copy(x.begin(), x.end(), latent.view().data<float>());
  testing::CollectedFrames<float> ours;
  decoder.decode_values(*ops, latent, ours.sink(), {});
  ASSERT_EQ(ours.frames, 9);
  ASSERT_EQ(ours.height, 16);
  ASSERT_EQ(ours.width, 32);

  constexpr double kPrinted = 6e-6;  // float32 runs agree to 5e-6, printed to 5e-7
  for (const GoldenRow& row : kGoldenRows) {
    SCOPED_TRACE("frames " + std::to_string(row.begin) + " to " + std::to_string(row.end));
    double sum = 0.0, squares = 0.0;
    for (std::int64_t t = row.begin; t < row.end; ++t)
      for (std::int64_t y = 0; y < 16; ++y)
        for (std::int64_t x = 0; x < 32; ++x)
          for (std::int64_t c = 0; c < 3; ++c) {
            const double value = ours.at(c, t, y, x);
            sum += value;
            squares += value * value;
          }
    const double count = static_cast<double>((row.end - row.begin) * 3 * 16 * 32);
    EXPECT_NEAR(sum / count, row.mean, kPrinted);
    EXPECT_NEAR(std::sqrt(squares / count), row.rms, kPrinted);
    for (int x = 0; x < 4; ++x) EXPECT_NEAR(ours.at(0, row.begin, 0, x), row.first[x], kPrinted);
    for (int x = 0; x < 2; ++x)
      EXPECT_NEAR(ours.at(2, row.end - 1, 15, 30 + x), row.last[x], kPrinted);
  }
}

}  // namespace
}  // namespace psagen::engine
