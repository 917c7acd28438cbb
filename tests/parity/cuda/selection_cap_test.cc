// Limits of the similarity cap (spec psa.md 11.12) on the GPU, in the caps of a pyramid and in the
// levels of a selection.
#include <algorithm>

#include "tests/parity/cuda/psa_prepare_fixture.h"

namespace psagen::kernels {
namespace {

class SelectionCapCuda : public PsaPrepareCuda {
 protected:
  using Thresholds = std::array<double, 3>;
  static constexpr Thresholds kPreset = {0.70, 0.65, 0.60}, kNone = {-1.0, -1.0, -1.0},
                              kAll = {1.0, 1.0, 1.0};

  // Twelve key blocks, and nine tokens of one more.
  static std::vector<PrepareSize> sizes() {
    std::vector<PrepareSize> result;
    for (const int key_block : {128, 64, 32})
      for (const std::int64_t depth : {64, 128})
        result.push_back({1, 12 * key_block + 9, 2, depth, key_block, 128});
    return result;
  }

  // Keys and all else unrelated.
  PrepareProblem unrelated(const PrepareSize& size, std::uint64_t seed) {
    PrepareProblem p = problem(size, seed);
    p.qkv = random(p.qkv.host.shape(), seed, dtype(), 2.0);
    return p;
  }

  // What stands in place of a key: that of `token`, times `factor`.
  struct Source {
    std::int64_t token = 0;
    double factor = 1.0;
  };
  template <typename Key>
  void set_keys(PrepareProblem& p, const Key& key) {
    const std::vector<double> x = reference::elements<double>(p.qkv.host);
    const std::int64_t width = p.size.heads * p.size.depth;
    for (std::int64_t row = 0; row < p.size.batch * p.size.tokens; ++row) {
      const Source source = key(row % p.size.tokens);
      const std::int64_t from = row - row % p.size.tokens + source.token;
      for (std::int64_t i = 0; i < width; ++i)
        store(p.qkv.host.view(), (3 * row + 1) * width + i,
              static_cast<float>(source.factor *
                                 x[static_cast<std::size_t>((3 * from + 1) * width + i)]));
    }
    p.qkv = on_both(std::move(p.qkv.host));
  }

  std::vector<std::uint8_t> caps(PrepareProblem& p, const Thresholds& thresholds, bool portable) {
    Ops& building = portable ? portable_ops() : ops();
    p.level_caps = on_device(DType::kU8, p.level_caps.shape());
    context_->runtime()->synchronize();  // the two contexts have a stream each
    building.build_pyramid({.k = p.part(1),
                            .v = p.part(2),
                            .similarity_thresholds = thresholds,
                            .pyramid = p.pyramid()});
    building.context().runtime()->synchronize();
    return bytes_of<std::uint8_t>(p.level_caps);
  }

  void expect_caps(PrepareProblem& p, const Thresholds& thresholds, int wanted) {
    for (const bool portable : {false, true}) {
      const std::vector<std::uint8_t> found = caps(p, thresholds, portable);
      EXPECT_EQ(found, std::vector<std::uint8_t>(found.size(), static_cast<std::uint8_t>(wanted)))
          << name_of(p.size) << ", thresholds " << thresholds[0] << ' ' << thresholds[1] << ' '
          << thresholds[2] << (portable ? ", portable" : "");
    }
  }

  std::vector<std::uint8_t> levels(PrepareProblem& p, const PsaParams& params, bool portable) {
    Ops& selecting = portable ? portable_ops() : ops();
    p.levels = on_device(DType::kU8, p.levels.shape());
    context_->runtime()->synchronize();
    selecting.select_blocks(select_args(p, params));
    selecting.context().runtime()->synchronize();
    return bytes_of<std::uint8_t>(p.levels);
  }

  // Levels of the caps that p has are those without, no coarser than the caps, and 0 stays 0.
  void expect_capped(PrepareProblem& p, LevelSelection selection,
                     const std::vector<std::uint8_t>& caps, bool portable) {
    const std::vector<std::uint8_t> free = levels(p, params(p.size, selection), portable);
    const std::vector<std::uint8_t> capped = levels(p, params(p.size, selection, true), portable);
    ASSERT_GT(std::count(free.begin(), free.end(), 0), 0);
    ASSERT_GT(std::count(free.begin(), free.end(), 8), 0);
    for (std::size_t i = 0; i < free.size(); ++i) {
      const std::size_t blocks = static_cast<std::size_t>(p.key_blocks());
      const std::size_t head = i / blocks / static_cast<std::size_t>(p.query_blocks());
      const int cap = caps[head * blocks + i % blocks];
      ASSERT_EQ(int{capped[i]}, std::min<int>(cap, free[i]))
          << name_of(p.size) << (portable ? ", portable" : "") << ", pair " << i;
    }
  }
};

TEST_P(SelectionCapCuda, ThresholdsOfMinusOneCapNothingAndOfOneEverything) {
  for (const PrepareSize& size : sizes()) {
    PrepareProblem p = problem(size, 1);
    expect_caps(p, kNone, 8);
    expect_caps(p, kAll, 1);
    // Opposite keys have a cosine of -1, which is above no threshold.
    set_keys(p, [](std::int64_t t) { return Source{0, t % 2 == 0 ? 1.0 : -1.0}; });
    expect_caps(p, kNone, 8);
  }
}

// Each threshold is looked at alone: the coarsest level that passes is the cap.
TEST_P(SelectionCapCuda, TokensAlikeHaveNoCap) {
  for (const PrepareSize& size : sizes()) {
    PrepareProblem p = unrelated(size, 2);
    set_keys(p, [](std::int64_t) { return Source{5}; });
    expect_caps(p, kPreset, 8);
    expect_caps(p, {0.70, 0.65, 1.0}, 4);
    expect_caps(p, {0.70, 1.0, 1.0}, 2);
    expect_caps(p, {1.0, 1.0, 0.60}, 8);
    expect_caps(p, kAll, 1);
  }
}

// First and last key of every whole group point in opposite directions. A group of one token agrees
// with itself, which in the last block, of nine, is too little.
TEST_P(SelectionCapCuda, AlternatingKeysAreTakenInFull) {
  for (const PrepareSize& size : sizes()) {
    PrepareProblem p = unrelated(size, 3);
    set_keys(p, [](std::int64_t t) { return Source{5, t % 2 == 0 ? 1.0 : -1.0}; });
    expect_caps(p, kPreset, 1);
  }
}

TEST_P(SelectionCapCuda, CapsRefineAndSkippedBlocksStaySkipped) {
  std::vector<PrepareSize> all = sizes();
  all.push_back({1, 600 * 32, 1, 64, 32, 128});  // rows long enough to be sorted in another way
  for (const PrepareSize& size : all) {
    PrepareProblem p = unrelated(size, 4);
    set_keys(p, [&](std::int64_t t) {  // every third block agrees with itself
      const std::int64_t block = t / size.key_block;
      return Source{block % 3 == 0 ? block * size.key_block : t};
    });
    for (const bool portable : {false, true})
      for (const LevelSelection selection : {LevelSelection::kQuota, LevelSelection::kThreshold}) {
        const std::vector<std::uint8_t> found = caps(p, kPreset, portable);
        for (std::size_t i = 0; i < found.size(); ++i)
          ASSERT_EQ(int{found[i]}, i % static_cast<std::size_t>(p.key_blocks()) % 3 == 0 ? 8 : 1);
        expect_capped(p, selection, found, portable);
        expect_capped(p, selection, caps(p, kNone, portable), portable);
        expect_capped(p, selection, caps(p, kAll, portable), portable);
      }
  }
}

PSAGEN_CUDA_PARITY(SelectionCapCuda);

}  // namespace
}  // namespace psagen::kernels
