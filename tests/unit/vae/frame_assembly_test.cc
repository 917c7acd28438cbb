#include "engine/vae/frame_assembly.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace psagen::engine {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

DecodeTile tile(PixelSpan rows, PixelSpan columns) {
  return {{.inputs = {}, .output = rows}, {.inputs = {}, .output = columns}};
}

// What belongs at a place of the clip.
std::uint8_t value(std::int64_t t, std::int64_t y, std::int64_t x, std::int64_t c) {
  return static_cast<std::uint8_t>(t * 97 + y * 31 + x * 7 + c);
}

class FrameAssemblyTest : public ::testing::Test {
 protected:
  void add(FrameAssembly& assembly, const DecodeTile& tile, std::int64_t begin, std::int64_t end) {
    Tensor part(memory_, DType::kU8,
                {end - begin, tile.rows.output.length(), tile.columns.output.length(), 3});
    std::uint8_t* next = part.view().data<std::uint8_t>();
    for (std::int64_t t = begin; t < end; ++t)
      for (std::int64_t y = tile.rows.output.begin; y < tile.rows.output.end; ++y)
        for (std::int64_t x = tile.columns.output.begin; x < tile.columns.output.end; ++x)
          for (std::int64_t c = 0; c < 3; ++c) *next++ = value(t, y, x, c);
    assembly.add(part);
  }

  FrameAssembly::Sink sink() {
    return [this](ConstTensorView frames) {
      ASSERT_TRUE(frames.is_contiguous());
      const std::uint8_t* next = frames.data<std::uint8_t>();
      for (std::int64_t t = 0; t < frames.dim(0); ++t)
        for (std::int64_t y = 0; y < frames.dim(1); ++y)
          for (std::int64_t x = 0; x < frames.dim(2); ++x)
            for (std::int64_t c = 0; c < 3; ++c)
              ASSERT_EQ(*next++, value(done_ + t, y, x, c)) << t << " " << y << " " << x;
      done_ += frames.dim(0);
      chunks_.push_back(frames.dim(0));
    };
  }

  CpuAllocator memory_;
  std::int64_t done_ = 0;
  std::vector<std::int64_t> chunks_;
};

TEST_F(FrameAssemblyTest, FramesComeWithTheLastTile) {
  const std::vector<DecodeTile> tiles = {tile({0, 2}, {0, 3}), tile({0, 2}, {3, 7}),
                                         tile({2, 5}, {0, 3}), tile({2, 5}, {3, 7})};
  FrameAssembly assembly(DType::kU8, {5, 5, 7, 3}, tiles, sink());
  for (const DecodeTile& each : tiles) {
    EXPECT_TRUE(chunks_.empty());
    add(assembly, each, 0, 1);
    add(assembly, each, 1, 4);
    add(assembly, each, 4, 5);
  }
  EXPECT_THAT(chunks_, ElementsAre(1, 3, 1));
}

TEST_F(FrameAssemblyTest, OneTileIsHandedOnAsItComes) {
  const DecodeTile whole = tile({0, 4}, {0, 6});
  FrameAssembly assembly(DType::kU8, {3, 4, 6, 3}, {whole}, sink());
  add(assembly, whole, 0, 2);
  EXPECT_THAT(chunks_, ElementsAre(2));
  add(assembly, whole, 2, 3);
  EXPECT_THAT(chunks_, ElementsAre(2, 1));
}

TEST_F(FrameAssemblyTest, NobodyNeedsToListen) {
  const std::vector<DecodeTile> tiles = {tile({0, 2}, {0, 1}), tile({0, 2}, {1, 2})};
  FrameAssembly assembly(DType::kU8, {1, 2, 2, 3}, tiles, {});
  for (const DecodeTile& each : tiles) add(assembly, each, 0, 1);
}

}  // namespace
}  // namespace psagen::engine
