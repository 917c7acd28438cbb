// Whole clips through the VAE decoder, and which ops the time goes to.
#include <cstdio>
#include <memory>
#include <string>

#include "engine/vae/decoder.h"
#include "tests/bench/nn/bench_report.h"
#include "tests/support/formula_weights.h"
#include "tests/support/vae_decoder_tensors.h"
#include "tests/support/wan_vae_config.h"

namespace psagen {
namespace {

struct Case {
  const char* name;
  std::int64_t base_dim, latent_frames, latent_height, latent_width, chunk;
};

// dim_mult [1, 1, 2, 2], one residual block, 16 latent channels.
constexpr Case kCases[] = {{"32 wide, 33x256x256", 32, 9, 32, 32, 1},
                           {"32 wide, 33x256x256, chunks of 2", 32, 9, 32, 32, 2}};

// Two operations for each use of a weight; the weights of stage i are used at every pixel of that
// stage's frames, an up-sampler's convolution after doubling.
double decode_work(const engine::VaeConfig& config, const Case& c) {
  const testing::VaeDecoderTensors tensors(config);
  double work = 0.0;
  for (const auto& [name, shape] : tensors.shapes()) {
    if (shape.rank() < 4) continue;
    std::int64_t frames = c.latent_frames;
    double pixels = static_cast<double>(c.latent_height * c.latent_width);
    std::size_t stage = 0;
    if (const auto at = name.find("up_blocks."); at != std::string::npos)
      stage = static_cast<std::size_t>(std::stoi(name.substr(at + 10)));
    if (name.find("conv_out") != std::string::npos) stage = config.dim_mult.size() - 1;
    if (name.find("resample") != std::string::npos) ++stage;
    for (std::size_t i = 0; i < stage; ++i) {
      pixels *= 4.0;
      if (config.temporal_downsample[config.temporal_downsample.size() - 1 - i])
        frames = 2 * frames - 1;
    }
    work += 2.0 * static_cast<double>(shape.num_elements() * frames) * pixels;
  }
  return work;
}

void run_case(kernels::Bench& bench, const Case& c) {
  const engine::VaeConfig config = testing::wan_vae_config(c.base_dim, {1, 1, 2, 2}, 1);
  const auto source =
      std::make_shared<testing::FormulaSource>(testing::VaeDecoderTensors(config).shapes());
  const engine::Weights weights(source, bench.context());
  const engine::VaeDecoder decoder(config, weights, bench.ops());
  const Tensor latent =
      bench.random({1, config.z_dim, c.latent_frames, c.latent_height, c.latent_width});
  const Profiler& profiler = bench.context().profiler();
  bench.compare({{c.name,
                  [&] {
                    bench.context().profiler().reset();
                    decoder.decode(bench.ops(), latent, {}, {},
                                   {.latent_frames_per_chunk = c.chunk});
                  },
                  decode_work(config, c)}});
  for (int i = 0; i < static_cast<int>(Zone::kCount); ++i) {
    const auto zone = static_cast<Zone>(i);
    const Profiler::Entry entry = profiler.entry(zone);
    if (entry.calls > 0)
      std::printf("  last round: %-20s %10.3f ms in %lld calls\n", zone_name(zone),
                  entry.seconds * 1e3, static_cast<long long>(entry.calls));
  }
}

}  // namespace
}  // namespace psagen

int main(int argc, char** argv) {
  psagen::kernels::Bench bench("vae_decode", psagen::kernels::parse_bench_options(argc, argv));
  for (const psagen::Case& c : psagen::kCases) psagen::run_case(bench, c);
  return 0;
}
