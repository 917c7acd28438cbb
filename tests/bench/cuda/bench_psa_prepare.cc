// What comes before sparse attention on the GPU, at the shapes of the published models: a JSON
// object a line. Rates count the bytes that must move: k and v once and the rows made of them, or q
// once and the coarsest keys.
//
//   bench_cuda_psa_prepare [part of a case's name]
#include <array>
#include <cmath>

#include "kernels/psa/psa_args.h"
#include "tests/bench/cuda/device_bench.h"

namespace psagen::kernels {
namespace {

struct Case {
  const char* name;
  std::int64_t tokens, heads;
};

constexpr Case kCases[] = {{"32760 x 12 x 128", 32760, 12}, {"75600 x 40 x 128", 75600, 40}};
constexpr std::int64_t kDepth = 128;
constexpr int kQueryBlock = 128;

class PrepareBench {
 public:
  // q, k and v are parts of one projection, as a model has them.
  PrepareBench(DeviceBench& bench, const Case& c, int key_block)
      : bench_(bench),
        case_(c),
        shape_{c.tokens, key_block, bench.ops().pyramid_format(DType::kBF16).finest_level},
        qkv_(bench.random({1, c.tokens, 3 * c.heads * kDepth})),
        keys_(bench.empty({1, c.heads, shape_.total_rows(), kDepth})),
        values_(bench.empty({1, c.heads, shape_.total_rows(), kDepth})),
        log2_weight_(bench.empty({shape_.total_rows()}, DType::kF32)),
        level_caps_(bench.empty({1, c.heads, shape_.key_blocks()}, DType::kU8)),
        levels_(bench.empty({1, c.heads, query_blocks(), shape_.key_blocks()}, DType::kU8)),
        order_(bench.empty({c.heads * query_blocks()}, DType::kI32)),
        density_(bench.empty({1, c.heads}, DType::kF32)) {}

  void coarsest_keys() {
    const BuildPyramidArgs args = {.k = part(1),
                                   .v = part(2),
                                   .similarity_thresholds = {},
                                   .part = PyramidPart::kCoarsestKeys,
                                   .pyramid = made(false)};
    run("coarsest keys", 1.125 * head_bytes(), [&] { bench_.ops().build_pyramid(args); });
  }

  void pyramid(bool caps) {
    const BuildPyramidArgs args = {.k = part(1),
                                   .v = part(2),
                                   .similarity_thresholds = {0.70, 0.65, 0.60},
                                   .pyramid = made(caps)};
    run(caps ? "pyramid, caps" : "pyramid", 2.0 * 1.875 * head_bytes(),
        [&] { bench_.ops().build_pyramid(args); });
  }

  void selection(LevelSelection rule, ImportanceEstimator estimator) {
    bench_.ops().build_pyramid(
        {.k = part(1), .v = part(2), .similarity_thresholds = {}, .pyramid = made(false)});
    SelectBlocksArgs args = {.q = part(0),
                             .k = part(1),
                             .pyramid = made(false),
                             .scale = 1.0 / std::sqrt(static_cast<double>(kDepth)),
                             .params = {},
                             .importance = {},
                             .levels = levels_,
                             .order = order_,
                             .nominal_density = density_};
    args.params.query_block = kQueryBlock;
    args.params.key_block = shape_.key_block;
    args.params.selection = rule;
    args.params.estimator = estimator;
    if (rule == LevelSelection::kThreshold) args.params.level_bounds = {0.2, 0.3, 0.4, 0.6};
    const std::string what =
        concat(estimator == ImportanceEstimator::kSampled ? "sampled " : "selection ",
               rule == LevelSelection::kQuota ? "quota" : "threshold");
    run(what, 1.125 * head_bytes(), [&] { bench_.ops().select_blocks(args); });
  }

 private:
  std::int64_t query_blocks() const { return (case_.tokens + kQueryBlock - 1) / kQueryBlock; }
  double head_bytes() const {
    return 2.0 * static_cast<double>(case_.tokens * case_.heads * kDepth);
  }

  TensorView part(std::int64_t index) {
    const std::int64_t width = case_.heads * kDepth;
    return qkv_.view().slice(2, index * width, (index + 1) * width).split_last(case_.heads, kDepth);
  }

  Pyramid made(bool caps) {
    Pyramid pyramid;
    pyramid.shape = shape_;
    pyramid.keys = keys_;
    pyramid.values = values_;
    pyramid.log2_weight = log2_weight_;
    if (caps) pyramid.level_caps = level_caps_;
    return pyramid;
  }

  void run(const std::string& what, double bytes, const std::function<void()>& call) {
    const std::string name = concat(what, " n ", shape_.key_block, " ", case_.name);
    if (bench_.wants(name)) bench_.run(name, DeviceBench::bytes(bytes), call);
  }

  DeviceBench& bench_;
  const Case& case_;
  PyramidShape shape_;
  Tensor qkv_, keys_, values_, log2_weight_, level_caps_, levels_, order_, density_;
};

}  // namespace
}  // namespace psagen::kernels

int main(int argc, char** argv) {
  using namespace psagen::kernels;
  DeviceBench bench(argc > 1 ? argv[1] : "");
  for (const Case& c : kCases)
    for (const int key_block : {128, 64, 32}) {
      PrepareBench prepare(bench, c, key_block);
      prepare.pyramid(false);
      prepare.pyramid(true);
      prepare.coarsest_keys();
      prepare.selection(LevelSelection::kQuota, ImportanceEstimator::kPooledLogSumExp);
      prepare.selection(LevelSelection::kThreshold, ImportanceEstimator::kPooledLogSumExp);
      if (key_block == 128)
        prepare.selection(LevelSelection::kThreshold, ImportanceEstimator::kSampled);
    }
}
