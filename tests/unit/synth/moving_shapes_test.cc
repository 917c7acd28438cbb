// MovingShapes: the same bytes everywhere, splits that keep their promises, objects in the frame.
#include "engine/synth/moving_shapes.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>
#include <vector>

#include "engine/pipeline/sha256.h"
#include "engine/synth/clip_renderer.h"
#include "engine/synth/exact_maths.h"
#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

std::vector<std::uint8_t> render(SynthSplit split, std::int64_t index, std::int64_t size) {
  SynthWindow window;
  window.size = window.width = window.height = size;
  std::vector<std::uint8_t> rgb(static_cast<std::size_t>(33 * size * size * 3));
  render_synth_clip(make_synth_clip(split, index), window, rgb, {});
  return rgb;
}

TEST(MovingShapes, SixteenClipsKeepTheirBytes) {
  // The default model was trained on these pixels: another hash needs another kMovingShapesVersion.
  Sha256 hash;
  for (std::int64_t i = 0; i < 16; ++i) {
    const std::vector<std::uint8_t> rgb = render(SynthSplit::kTrain, i * 1687, 256);
    hash.update(std::as_bytes(std::span(rgb)));
  }
  EXPECT_EQ(hash.finish(), "f54eea73525b6c037c8579652b060bfe08dc6058c06e76c27a041b3ebbf11296");
  EXPECT_EQ(kMovingShapesVersion, 1);
}

TEST(MovingShapes, AWindowIsAPartOfTheWholeClip) {
  const SynthClip clip = make_synth_clip(SynthSplit::kVal, 7);
  const std::vector<std::uint8_t> whole = render(SynthSplit::kVal, 7, 64);
  const SynthWindow window{64, 10, 21, 30, 17, 33, 5, 9};
  std::vector<std::uint8_t> part(9 * 17 * 30 * 3), coverage(9 * 17 * 30);
  render_synth_clip(clip, window, part, coverage);
  for (int f = 0; f < 9; ++f)
    for (int y = 0; y < 17; ++y)
      for (int x = 0; x < 30 * 3; ++x)
        ASSERT_EQ(part[(f * 17 + y) * 90 + x], whole[(((f + 5) * 64 + y + 21) * 64 + 10) * 3 + x]);
}

TEST(MovingShapes, CoverageSaysWhereTheObjectIs) {
  for (std::int64_t i = 0; i < 40; ++i) {
    const SynthClip clip = make_synth_clip(SynthSplit::kVal, i);
    const SynthWindow window{64, 0, 0, 64, 64, 33, 16, 1};
    std::vector<std::uint8_t> rgb(64 * 64 * 3), coverage(64 * 64);
    render_synth_clip(clip, window, rgb, coverage);
    double area = 0.0, x_sum = 0.0, y_sum = 0.0;
    for (int p = 0; p < 64 * 64; ++p) {
      area += coverage[p];
      x_sum += coverage[p] * (p % 64 + 0.5);
      y_sum += coverage[p] * (p / 64 + 0.5);
    }
    const SynthPose pose = synth_pose(clip, 0.5);
    ASSERT_GT(area, 0.0) << "clip " << i;
    // Stars, hearts and triangles have their centre of mass a little beside their origin.
    EXPECT_NEAR(x_sum / area / 64, pose.x, 0.2 * pose.radius + 0.01) << "clip " << i;
    EXPECT_NEAR(y_sum / area / 64, pose.y, 0.2 * pose.radius + 0.01) << "clip " << i;
  }
}

TEST(MovingShapes, ObjectsStayInTheFrame) {
  for (std::int64_t i = 0; i < 3000; ++i) {
    const SynthClip clip = make_synth_clip(SynthSplit::kTrain, i);
    for (int f = 0; f <= 32; ++f) {
      const SynthPose pose = synth_pose(clip, f / 32.0);
      const double reach = 1.2 * pose.radius;
      ASSERT_GE(pose.x, reach - 0.03) << "clip " << i << " frame " << f;
      ASSERT_LE(pose.x, 1.03 - reach) << "clip " << i << " frame " << f;
      ASSERT_GE(pose.y, reach - 0.03) << "clip " << i << " frame " << f;
      ASSERT_LE(pose.y, 1.03 - reach) << "clip " << i << " frame " << f;
    }
  }
}

TEST(MovingShapes, LinearMotionsGoTheWayTheySay) {
  constexpr std::array<std::array<int, 2>, 6> kWays = {
      {{-1, 0}, {1, 0}, {0, -1}, {0, 1}, {1, -1}, {-1, 1}}};
  int seen = 0;
  for (std::int64_t i = 0; i < 1000; ++i) {
    const SynthClip clip = make_synth_clip(SynthSplit::kTrain, i);
    if (clip.motion >= 6) continue;
    ++seen;
    const SynthPose from = synth_pose(clip, 0.0), to = synth_pose(clip, 1.0);
    EXPECT_GE((to.x - from.x) * kWays[clip.motion][0], 0.08 * std::abs(kWays[clip.motion][0]));
    EXPECT_GE((to.y - from.y) * kWays[clip.motion][1], 0.08 * std::abs(kWays[clip.motion][1]));
    if (kWays[clip.motion][0] == 0) {
      EXPECT_EQ(to.x, from.x);
    }
    if (kWays[clip.motion][1] == 0) {
      EXPECT_EQ(to.y, from.y);
    }
  }
  EXPECT_GT(seen, 300);
}

TEST(MovingShapes, SplitsKeepTheirPromises) {
  std::set<std::array<int, 3>> train;
  std::array<std::array<int, 10>, 8> pairs{};
  for (std::int64_t i = 0; i < kSynthSplitSizes[0]; ++i) {
    const SynthClip clip = make_synth_clip(SynthSplit::kTrain, i);
    train.insert({clip.shape, clip.colour, clip.motion});
    ++pairs[clip.shape][clip.colour];
    ASSERT_FALSE(colours_clash(clip.colour, clip.background));
  }
  for (std::int64_t i = 0; i < 500; ++i) {
    const SynthClip comp = make_synth_clip(SynthSplit::kTestComp, i);
    EXPECT_FALSE(train.contains({comp.shape, comp.colour, comp.motion}));
    EXPECT_GE(pairs[comp.shape][comp.colour], 50);
  }
  for (std::int64_t i = 0; i < 256; ++i) {
    const SynthClip pair = make_synth_clip(SynthSplit::kTestPair, i);
    EXPECT_EQ(pairs[pair.shape][pair.colour], 0);
  }
  int held_out = 0;
  for (int shape = 0; shape < 8; ++shape)
    for (int colour = 0; colour < 10; ++colour) held_out += pairs[shape][colour] == 0;
  EXPECT_EQ(held_out, 3);
}

TEST(MovingShapes, CanonicalCaptions) {
  EXPECT_EQ(synth_caption(make_synth_clip(SynthSplit::kVal, 3), 0),
            "a small black cross shrinks on a plain beige background");
  EXPECT_EQ(synth_caption(make_synth_clip(SynthSplit::kVal, 19), 0),
            "an orange cross moves up slowly on a horizontal gradient background");
}

TEST(MovingShapes, BadRequestsAreErrors) {
  EXPECT_THROW(make_synth_clip(SynthSplit::kVal, 512), Error);
  EXPECT_THROW(make_synth_clip(SynthSplit::kVal, -1), Error);
  std::vector<std::uint8_t> rgb(10);
  EXPECT_THROW(render_synth_clip(make_synth_clip(SynthSplit::kVal, 0), {}, rgb, {}), Error);
}

TEST(ExactMaths, SineIsASine) {
  for (int i = -2000; i <= 2000; ++i) {
    const double t = i / 977.0;
    EXPECT_NEAR(sin_turns(t), std::sin(2 * M_PI * t), 1e-8);
    EXPECT_NEAR(cos_turns(t), std::cos(2 * M_PI * t), 1e-8);
  }
}

}  // namespace
}  // namespace psagen::engine
