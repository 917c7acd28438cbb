// The decoder's contract towards its caller: chunks, memory, frames, progress, errors.
#include "engine/vae/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "kernels/backend.h"
#include "tests/support/collect_frames.h"
#include "tests/support/formula_weights.h"
#include "tests/support/vae_decoder_tensors.h"
#include "tests/support/wan_vae_config.h"

namespace psagen::engine {
namespace {

using testing::CollectedFrames;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

VaeConfig small_config() {
  VaeConfig config = testing::wan_vae_config(4, {1, 1, 2, 2}, 1);
  config.z_dim = 4;
  config.latents_mean = {0.1, -0.2, 0.3, 0.0};
  config.latents_std = {1.0, 2.0, 0.5, 1.5};
  return config;
}

std::shared_ptr<const WeightSource> formula_decoder(const VaeConfig& config) {
  return std::make_shared<testing::FormulaSource>(testing::VaeDecoderTensors(config).shapes());
}

class DecoderTest : public ::testing::Test {
 protected:
  DecoderTest()
      : ops_(kernels::make_ops(context_)),
        weights_(formula_decoder(small_config()), context_),
        decoder_(small_config(), weights_, *ops_) {}

  Tensor random_latent(std::int64_t frames, std::uint32_t seed = 7) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    Tensor latent(context_.allocator(), DType::kF32, {1, 4, frames, 3, 5});
    for (std::int64_t i = 0; i < latent.view().num_elements(); ++i)
      latent.view().data<float>()[i] = normal(random);
    return latent;
  }

  Context context_;
  std::unique_ptr<kernels::Ops> ops_;
  Weights weights_;
  VaeDecoder decoder_;
};

TEST_F(DecoderTest, ChunkSizeDoesNotChangeTheFrames) {
  const Tensor latent = random_latent(7);
  CollectedFrames<float> one;
  decoder_.decode_values(*ops_, latent, one.sink(), {}, {.latent_frames_per_chunk = 1});
  EXPECT_THAT(one.chunk_lengths, ElementsAre(1, 4, 4, 4, 4, 4, 4));
  for (const std::int64_t chunk : {2, 3, 5, 7, 100}) {
    SCOPED_TRACE(chunk);
    CollectedFrames<float> other;
    decoder_.decode_values(*ops_, latent, other.sink(), {}, {.latent_frames_per_chunk = chunk});
    ASSERT_EQ(other.values.size(), one.values.size());
    ASSERT_EQ(other.chunk_lengths.front(), 1 + 4 * (std::min<std::int64_t>(chunk, 7) - 1));
    double difference = 0.0, size = 0.0;
    for (std::size_t i = 0; i < one.values.size(); ++i) {
      difference += std::pow(static_cast<double>(one.values[i]) - other.values[i], 2);
      size += std::pow(static_cast<double>(one.values[i]), 2);
    }
    // A convolution may sum in another order for another number of frames.
    EXPECT_LE(std::sqrt(difference / size), 1e-6);
  }
}

TEST_F(DecoderTest, AJobLeavesNothingBehindForTheNext) {
  const Tensor latent = random_latent(3);
  CollectedFrames<float> first, second;
  decoder_.decode_values(*ops_, latent, first.sink(), {});
  decoder_.decode_values(*ops_, random_latent(2, 99), {}, {});
  decoder_.decode_values(*ops_, latent, second.sink(), {});
  EXPECT_EQ(first.values, second.values);
}

TEST_F(DecoderTest, ValuesThatAreNoNumbersAreAnError) {
  Tensor latent = random_latent(4);
  latent.view().data<float>()[20] = std::numeric_limits<float>::quiet_NaN();
  try {
    decoder_.decode(*ops_, latent, {}, {});
    FAIL() << "a video of no numbers";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNumeric);
    EXPECT_THAT(error.message(), ::testing::HasSubstr("the decoder gave "));
    EXPECT_THAT(error.message(), ::testing::HasSubstr("first up to latent frame 2 of 4"));
  }
}

TEST_F(DecoderTest, MemoryDoesNotGrowWithTheClip) {
  const auto peak_of = [](std::int64_t frames) {
    Context context;
    const auto ops = kernels::make_ops(context);
    const VaeConfig config = small_config();
    const Weights weights(formula_decoder(config), context);
    const VaeDecoder decoder(config, weights, *ops);
    CpuAllocator outside;  // the clip itself is the caller's
    Tensor latent(outside, DType::kF32, {1, 4, frames, 3, 5});
    std::fill_n(latent.view().data<float>(), latent.view().num_elements(), 0.5f);
    decoder.decode(*ops, latent, {}, {});
    return context.allocator().peak_bytes();
  };
  const std::size_t peak = peak_of(3);
  EXPECT_EQ(peak_of(24), peak);
  EXPECT_LE(peak_of(1), peak);
}

TEST_F(DecoderTest, NothingIsAllocatedBetweenChunks) {
  const Tensor latent = random_latent(6);
  std::vector<std::size_t> in_use;
  std::size_t peak_after_second_chunk = 0;
  decoder_.decode(*ops_, latent, {}, [&](std::int64_t done, std::int64_t) {
    in_use.push_back(context_.allocator().bytes_in_use());
    if (done == 2) peak_after_second_chunk = context_.allocator().peak_bytes();
    return true;
  });
  // The ops' own scratch memory may grow while the first full chunk shows how much they need.
  for (std::size_t i = 2; i < in_use.size(); ++i) EXPECT_EQ(in_use[i], in_use[1]) << "chunk " << i;
  EXPECT_EQ(context_.allocator().peak_bytes(), peak_after_second_chunk);
}

TEST_F(DecoderTest, FramesAreTheClampedAndRoundedValues) {
  const Tensor latent = random_latent(2);
  CollectedFrames<float> values;
  CollectedFrames<std::uint8_t> frames;
  decoder_.decode_values(*ops_, latent, values.sink(), {});
  decoder_.decode(*ops_, latent, frames.sink(), {});
  EXPECT_EQ(frames.frames, 5);
  EXPECT_EQ(frames.height, 24);
  EXPECT_EQ(frames.width, 40);
  ASSERT_EQ(frames.values.size(), values.values.size());
  for (std::size_t i = 0; i < values.values.size(); ++i) {
    const double clamped = std::min(1.0, std::max(-1.0, static_cast<double>(values.values[i])));
    ASSERT_NEAR(frames.values[i], (clamped + 1.0) / 2.0 * 255.0, 0.5001) << "value " << i;
  }
}

TEST_F(DecoderTest, ReportsEveryChunk) {
  std::vector<std::int64_t> done;
  decoder_.decode(*ops_, random_latent(5), {},
                  [&](std::int64_t now, std::int64_t total) {
                    EXPECT_EQ(total, 5);
                    done.push_back(now);
                    return true;
                  },
                  {.latent_frames_per_chunk = 2});
  EXPECT_THAT(done, ElementsAre(2, 4, 5));
}

TEST_F(DecoderTest, StopsWhenToldTo) {
  CollectedFrames<std::uint8_t> frames;
  try {
    decoder_.decode(*ops_, random_latent(5), frames.sink(),
                    [](std::int64_t done, std::int64_t) { return done < 2; });
    FAIL() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
    EXPECT_THAT(error.message(), HasSubstr("after 2 of 5"));
  }
  EXPECT_EQ(frames.frames, 5);
}

TEST_F(DecoderTest, RefusesALatentOfAnotherModel) {
  Tensor latent(context_.allocator(), DType::kF32, {1, 16, 2, 3, 5});
  try {
    decoder_.decode(*ops_, latent, {}, {});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.message(), HasSubstr("[1, 16, 2, 3, 5], wanted [1, 4, T, h, w]"));
  }
  EXPECT_THROW(decoder_.decode(*ops_, random_latent(2), {}, {}, {.latent_frames_per_chunk = 0}),
               Error);
  EXPECT_THROW(decoder_.decode(*ops_, random_latent(2), {}, {}, {.rows = 0}), Error);
  EXPECT_THROW(decoder_.decode(*ops_, random_latent(0), {}, {}), Error);
}

TEST(DecoderWeights, AMissingTensorIsNamed) {
  Context context;
  const auto ops = kernels::make_ops(context);
  VaeConfig config = small_config();
  const Weights weights(formula_decoder(config), context);
  config.num_res_blocks = 2;
  try {
    const VaeDecoder decoder(config, weights, *ops);
    FAIL() << "loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.message(), HasSubstr("decoder.up_blocks.0.resnets.2.norm1.gamma"));
  }
}

}  // namespace
}  // namespace psagen::engine
