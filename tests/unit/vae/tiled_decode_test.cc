// A frame decoded in tiles is the frame: for sizes at which tiles see less than the whole, tiles of
// unequal size, chunks of time, and on a device that is not the CPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "engine/vae/decoder.h"
#include "kernels/backend.h"
#include "tests/support/collect_frames.h"
#include "tests/support/formula_weights.h"
#include "tests/support/host_runtime.h"
#include "tests/support/vae_decoder_tensors.h"
#include "tests/support/wan_vae_config.h"

namespace psagen::engine {
namespace {

using testing::CollectedFrames;

// Two residual blocks a stage: the first stage sees 9 latent pixels around a tile, so that of 24 by
// 31 no tile of a third sees all.
VaeConfig small_config() {
  VaeConfig config = testing::wan_vae_config(4, {1, 1, 2, 2}, 1);
  config.z_dim = 4;
  config.latents_mean = {0.1, -0.2, 0.3, 0.0};
  config.latents_std = {1.0, 2.0, 0.5, 1.5};
  return config;
}

class Decoding {
 public:
  explicit Decoding(std::unique_ptr<Context> context)
      : context_(std::move(context)),
        ops_(kernels::make_ops(*context_)),
        decoder_(small_config(),
                 Weights(std::make_shared<testing::FormulaSource>(
                             testing::VaeDecoderTensors(small_config()).shapes()),
                         *context_),
                 *ops_) {}

  Tensor random_latent(std::int64_t frames, std::int64_t height, std::int64_t width) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<std::size_t>(4 * frames * height * width));
    for (float& value : values) value = normal(random);
    const Shape shape = {1, 4, frames, height, width};
    Tensor latent(context_->allocator(), DType::kF32, shape);
    ops_->copy(ConstTensorView(reinterpret_cast<const std::byte*>(values.data()), DType::kF32,
                               shape, Device{}),
               latent);
    return latent;
  }

  CollectedFrames<float> values(const Tensor& latent, const DecodeSplit& split) {
    CollectedFrames<float> frames;
    decoder_.decode_values(*ops_, latent, frames.sink(), {}, split);
    return frames;
  }
  CollectedFrames<std::uint8_t> levels(const Tensor& latent, const DecodeSplit& split) {
    CollectedFrames<std::uint8_t> frames;
    decoder_.decode(*ops_, latent, frames.sink(), {}, split);
    return frames;
  }

  // The most that a decode takes beside what is there already.
  std::size_t peak(const Tensor& latent, const DecodeSplit& split) {
    context_->workspace().trim();
    context_->allocator().reset_peak();
    const std::size_t held = context_->allocator().bytes_in_use();
    decoder_.decode(*ops_, latent, {}, {}, split);
    return context_->allocator().peak_bytes() - held;
  }

  VaeDecoder& decoder() { return decoder_; }
  kernels::Ops& ops() { return *ops_; }

 private:
  std::unique_ptr<Context> context_;
  std::unique_ptr<kernels::Ops> ops_;
  VaeDecoder decoder_;
};

// The same sums for every pixel, in an order that may depend on the size of a frame: what float32
// rounding makes of them, and no more.
void expect_same(const CollectedFrames<float>& tiled, const CollectedFrames<float>& whole) {
  ASSERT_EQ(tiled.values.size(), whole.values.size());
  EXPECT_EQ(tiled.chunk_lengths, whole.chunk_lengths);
  EXPECT_EQ(tiled.height, whole.height);
  EXPECT_EQ(tiled.width, whole.width);
  double largest = 0.0, worst = 0.0;
  for (std::size_t i = 0; i < whole.values.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(whole.values[i])));
    worst = std::max(worst, std::abs(static_cast<double>(tiled.values[i]) - whole.values[i]));
  }
  EXPECT_LE(worst, 1e-6 * largest);
}

TEST(TiledDecode, EqualsTheWholeFrame) {
  Decoding cpu(std::make_unique<Context>());
  const Tensor latent = cpu.random_latent(3, 24, 31);
  const CollectedFrames<float> whole = cpu.values(latent, {});
  for (const auto& [rows, columns] : {std::pair{1, 2}, {3, 4}}) {
    SCOPED_TRACE(concat(rows, " x ", columns));
    expect_same(cpu.values(latent, {.rows = rows, .columns = columns}), whole);
  }
}

TEST(TiledDecode, EqualsTheWholeFrameInChunks) {
  Decoding cpu(std::make_unique<Context>());
  const Tensor latent = cpu.random_latent(5, 22, 5);
  for (const std::int64_t chunk : {2, 3}) {
    SCOPED_TRACE(chunk);
    const CollectedFrames<float> whole = cpu.values(latent, {.latent_frames_per_chunk = chunk});
    expect_same(cpu.values(latent, {.rows = 3, .columns = 2, .latent_frames_per_chunk = chunk}),
                whole);
  }
}

TEST(TiledDecode, OfTinyLatents) {
  Decoding cpu(std::make_unique<Context>());
  for (const auto& [height, width] : {std::pair{1, 1}, {2, 3}}) {
    SCOPED_TRACE(concat(height, " x ", width));
    const Tensor latent = cpu.random_latent(2, height, width);
    const CollectedFrames<float> whole = cpu.values(latent, {});
    expect_same(cpu.values(latent, {.rows = 2, .columns = 3}), whole);
  }
}

TEST(TiledDecode, GivesTheLevelsOfTheWholeFrame) {
  Decoding cpu(std::make_unique<Context>());
  const Tensor latent = cpu.random_latent(2, 20, 23);
  const auto whole = cpu.levels(latent, {}), tiled = cpu.levels(latent, {.rows = 2, .columns = 3});
  ASSERT_EQ(tiled.values.size(), whole.values.size());
  std::size_t different = 0;
  for (std::size_t i = 0; i < whole.values.size(); ++i) {
    ASSERT_NEAR(tiled.values[i], whole.values[i], 1) << i;
    if (tiled.values[i] != whole.values[i]) ++different;
  }
  EXPECT_LE(different, whole.values.size() / 1000) << "values between two levels";
}

// Memory that is not waited for, or not written, is poison there.
TEST(TiledDecode, OnADevice) {
  Decoding cpu(std::make_unique<Context>()), device(testing::make_host_runtime_context());
  const Tensor latent = cpu.random_latent(6, 21, 24), same = device.random_latent(6, 21, 24);
  const CollectedFrames<float> whole = cpu.values(latent, {.latent_frames_per_chunk = 2});
  expect_same(device.values(same, {.rows = 2, .columns = 2, .latent_frames_per_chunk = 2}), whole);
  EXPECT_EQ(device.values(same, {.rows = 2}).chunk_lengths.front(), 1 + 4 * 3)
      << "left open, a chunk is four latent frames on a device";
}

TEST(TiledDecode, TakesLessMemory) {
  for (const bool is_device : {false, true}) {
    Decoding decoding(is_device ? testing::make_host_runtime_context()
                                : std::make_unique<Context>());
    const Tensor latent = decoding.random_latent(1, 48, 48);
    const auto peak = [&](std::int64_t count) {
      return decoding.peak(latent, {.rows = count, .columns = count, .latent_frames_per_chunk = 1});
    };
    const std::size_t whole = peak(1), quarters = peak(2), sixteenths = peak(4);
    EXPECT_LT(quarters, 0.45 * static_cast<double>(whole)) << is_device;
    EXPECT_LT(sixteenths, 0.6 * static_cast<double>(quarters)) << is_device;
  }
}

TEST(TiledDecode, ReportsEveryChunkOfEveryTileAndStopsWhenToldTo) {
  Decoding cpu(std::make_unique<Context>());
  const Tensor latent = cpu.random_latent(3, 4, 6);
  std::vector<std::int64_t> told;
  CollectedFrames<std::uint8_t> frames;
  try {
    cpu.decoder().decode(cpu.ops(), latent, frames.sink(),
                         [&](std::int64_t done, std::int64_t total) {
                           EXPECT_EQ(total, 6);
                           told.push_back(done);
                           return done < 5;
                         },
                         {.columns = 2, .latent_frames_per_chunk = 1});
    FAIL() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
  EXPECT_THAT(told, ::testing::ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(frames.frames, 5) << "two chunks of the last tile";
}

}  // namespace
}  // namespace psagen::engine
