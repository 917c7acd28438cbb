#include "engine/pipeline/memory_meter.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

namespace psagen::engine {
namespace {

constexpr std::size_t kBlock = std::size_t{64} << 20;

TEST(MemoryMeterTest, SeesWhatWasTouchedWithinTheStretch) {
  MemoryMeter meter;
  meter.start();
  const std::size_t before = meter.peak_bytes();
  {
    const auto block = std::make_unique<char[]>(kBlock);
    std::memset(block.get(), 1, kBlock);
    meter.sample();
  }
  EXPECT_GE(meter.peak_bytes(), before + kBlock / 2);
  EXPECT_LE(meter.peak_bytes(), before + 2 * kBlock);
}

TEST(MemoryMeterTest, ForgetsWhatCameBefore) {
  MemoryMeter meter;
  meter.start();
  {
    const auto block = std::make_unique<char[]>(kBlock);
    std::memset(block.get(), 1, kBlock);
    meter.sample();
  }
  const std::size_t with_block = meter.peak_bytes();
  meter.start();
  EXPECT_LE(meter.peak_bytes(), with_block - kBlock / 2);
}

}  // namespace
}  // namespace psagen::engine
