// The video decoder at full width on the GPU, with formula weights: first how far its frames are
// from those of the CPU, in a small clip, then its speed and memory. A JSON object a line.
//
//   bench_cuda_vae_decode [WIDTH HEIGHT FRAMES [LATENT_FRAMES_PER_CHUNK [TILE_ROWS TILE_COLUMNS]]]
//
// Before the times, how far a decode in tiles is from one in one piece: rounding, by algorithms
// that are chosen for other shapes, and nothing that a seam would show as.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "engine/vae/decoder.h"
#include "kernels/backend.h"
#include "tests/support/collect_frames.h"
#include "tests/support/formula_weights.h"
#include "tests/support/vae_decoder_tensors.h"
#include "tests/support/wan_vae_config.h"

namespace psagen {
namespace {

struct Clip {
  std::int64_t width = 832, height = 480, frames = 81;
};

class DecodeBench {
 public:
  DecodeBench(const ContextOptions& options, std::shared_ptr<const engine::WeightSource> source)
      : config_(testing::wan_vae_config(96, {1, 2, 4, 4}, 2)),
        context_(kernels::make_context(options)),
        ops_(kernels::make_ops(*context_)) {
    const engine::Weights weights(std::move(source), *context_);
    decoder_.emplace(config_, weights, *ops_);
  }

  Tensor latent(const Clip& clip) {
    const Shape shape = {1, config_.z_dim, (clip.frames - 1) / 4 + 1, clip.height / 8,
                         clip.width / 8};
    const std::vector<float> values = testing::formula_values("x", shape);
    Tensor result(context_->allocator(), DType::kF32, shape);
    ops_->copy(ConstTensorView(reinterpret_cast<const std::byte*>(values.data()), DType::kF32,
                               shape, Device{}),
               result);
    return result;
  }

  std::vector<float> values(const Clip& clip, const engine::DecodeSplit& split = {}) {
    testing::CollectedFrames<float> frames;
    decoder_->decode_values(*ops_, latent(clip), frames.sink(), {}, split);
    return frames.values;
  }

  void time(const Clip& clip, const engine::DecodeSplit& split) {
    const Tensor x = latent(clip);
    context_->runtime()->synchronize();
    const std::size_t held = context_->allocator().bytes_in_use();
    std::vector<double> rounds;
    for (int i = 0; i < 6; ++i) {
      const auto start = std::chrono::steady_clock::now();
      decoder_->decode(*ops_, x, {}, {}, split);
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      rounds.push_back(time.count());
    }
    const double first = rounds.front();
    std::sort(rounds.begin() + 1, rounds.end());
    std::printf(
        "{\"device\": \"%s\", \"clip\": \"%ldx%ldx%ld\", \"chunk\": %ld, \"tiles\": \"%ldx%ld\", "
        "\"s\": %.4f, \"best_s\": "
        "%.4f, \"first_s\": %.3f, \"peak_bytes_beside_weights\": %zu}\n",
        context_->runtime()->info().name.c_str(), static_cast<long>(clip.width),
        static_cast<long>(clip.height), static_cast<long>(clip.frames),
        static_cast<long>(split.latent_frames_per_chunk.value_or(0)), static_cast<long>(split.rows),
        static_cast<long>(split.columns), rounds[3], rounds[1], first,
        context_->allocator().peak_bytes() - held);
    std::fflush(stdout);
  }

 private:
  engine::VaeConfig config_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<kernels::Ops> ops_;
  std::optional<engine::VaeDecoder> decoder_;
};

// Decibels; the values span [-1, 1].
double signal_to_noise(const std::vector<float>& a, const std::vector<float>& b) {
  double squares = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double left = std::clamp(a[i], -1.0f, 1.0f), right = std::clamp(b[i], -1.0f, 1.0f);
    squares += (left - right) * (left - right);
  }
  return 10.0 * std::log10(4.0 * static_cast<double>(a.size()) / squares);
}

void compare_with_cpu(const std::shared_ptr<const engine::WeightSource>& source) {
  constexpr Clip kClip = {64, 48, 13};
  const std::vector<float> wanted = DecodeBench({}, source).values(kClip);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
    for (const bool portable : {false, true}) {
      DecodeBench bench(
          {.device = {DeviceKind::kCuda, 0}, .compute_dtype = dtype, .portable_kernels = portable},
          source);
      std::printf("{\"dtype\": \"%s\", \"kernels\": \"%s\", \"psnr_to_cpu\": %.2f}\n",
                  dtype_name(dtype), portable ? "portable" : "default",
                  signal_to_noise(wanted, bench.values(kClip)));
      std::fflush(stdout);
    }
}

void compare_tiles(const std::shared_ptr<const engine::WeightSource>& source) {
  constexpr Clip kClip = {416, 304, 9};
  constexpr engine::DecodeSplit kTiles = {.rows = 2, .columns = 3};
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    DecodeBench bench({.device = {DeviceKind::kCuda, 0}, .compute_dtype = dtype}, source);
    const std::vector<float> whole = bench.values(kClip), tiles = bench.values(kClip, kTiles);
    double worst = 0.0;
    for (std::size_t i = 0; i < whole.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(whole[i]) - tiles[i]));
    std::printf(
        "{\"dtype\": \"%s\", \"tiles\": \"2x3\", \"psnr_to_whole\": %.2f, \"worst\": %.3g}\n",
        dtype_name(dtype), signal_to_noise(whole, tiles), worst);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace psagen

int main(int argc, char** argv) {
  using namespace psagen;
  Clip clip;
  if (argc > 3) clip = {std::atol(argv[1]), std::atol(argv[2]), std::atol(argv[3])};
  engine::DecodeSplit split;
  if (argc > 4 && std::atol(argv[4]) > 0) split.latent_frames_per_chunk = std::atol(argv[4]);
  if (argc > 6) split.rows = std::atol(argv[5]), split.columns = std::atol(argv[6]);
  const auto source = std::make_shared<testing::FormulaSource>(
      testing::VaeDecoderTensors(testing::wan_vae_config(96, {1, 2, 4, 4}, 2)).shapes());
  compare_with_cpu(source);
  compare_tiles(source);
  DecodeBench({.device = {DeviceKind::kCuda, 0}, .compute_dtype = DType::kBF16}, source)
      .time(clip, split);
  return 0;
}
