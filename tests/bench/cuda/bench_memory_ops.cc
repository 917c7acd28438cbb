// Ops that wait for memory, on the GPU at the shapes of the published models: 832 x 480 by 1536
// channels, 1280 x 720 by 5120, and the decoder's frames. GB/s counts the bytes that must move; the
// copies set the ceiling.
//
//   bench_cuda_memory_ops [part of a case's name]
#include <array>
#include <numeric>

#include "tests/bench/cuda/device_bench.h"

namespace psagen::kernels {
namespace {

constexpr DType kF32 = DType::kF32, kBF16 = DType::kBF16;

double as_double(std::int64_t count) { return static_cast<double>(count); }

// What stands between the layers of a block: `rows` tokens of heads x 128 channels.
void run_tokens(DeviceBench& bench, std::int64_t rows, std::int64_t heads) {
  const std::int64_t width = heads * 128;
  const std::string size = concat(" ", rows, "x", width);
  const double count = as_double(rows * width);
  Ops& ops = bench.ops();
  const auto run = [&](const std::string& name, double bytes, const std::function<void()>& call) {
    if (bench.wants(name + size)) bench.run(name + size, DeviceBench::bytes(bytes), call);
  };
  Tensor x = bench.random({1, rows, width}, kF32), y = bench.random({1, rows, width});
  Tensor h = bench.empty({1, rows, width}), qkv = bench.random({1, rows, 3 * width});
  const Tensor gamma = bench.random({width}, kF32), beta = bench.random({width}, kF32);
  const Tensor modulation = bench.random({1, 3, width}, kF32, 0.1);
  const auto row = [&](std::int64_t index) {
    return modulation.view().slice(1, index, index + 1).reshape({1, width});
  };
  const Tensor cosines = bench.random({rows, 64}, kF32), sines = bench.random({rows, 64}, kF32);

  run("copy bf16", 4 * count, [&] { ops.copy(y, h); });
  run("convert f32 to bf16", 6 * count, [&] { ops.copy(x, h); });
  run("layer_norm modulated", 6 * count,
      [&] { ops.layer_norm({.x = x, .scale = row(0), .shift = row(1), .y = h}); });
  // With a gate of zeros the stream stays finite however often it is called.
  const Tensor gate = bench.random({1, width}, kF32, 0.0);
  run("residual_norm modulated", 12 * count, [&] {
    ops.residual_norm({.x = x, .y = y, .gate = gate, .scale = row(0), .shift = row(1), .h = h});
  });
  run("residual_norm affine", 12 * count, [&] {
    ops.residual_norm({.x = x, .y = y, .gate = gate, .gamma = gamma, .beta = beta, .h = h});
  });
  const TensorView third = qkv.view().slice(2, 0, width);
  run("rms_norm in place", 4 * count, [&] { ops.rms_norm({.x = y, .gamma = gamma, .y = y}); });
  run("rms_norm of a third", 4 * count,
      [&] { ops.rms_norm({.x = third, .gamma = gamma, .y = third}); });
  run("rms_norm_rope of a third", 4 * count + 512 * as_double(rows), [&] {
    ops.rms_norm_rope({.x = third,
                       .gamma = gamma,
                       .rope_cos = cosines,
                       .rope_sin = sines,
                       .y = third.split_last(heads, 128)});
  });
}

// Frames of the decoder, channels last.
void run_frames(DeviceBench& bench, std::int64_t channels, std::int64_t height,
                std::int64_t width) {
  const Shape shape = {4, height, width, channels};
  const double count = as_double(shape.num_elements());
  for (const DType dtype : {kBF16, kF32}) {
    const std::string name = concat("channel_norm silu ", dtype_name(dtype), " ", shape);
    if (!bench.wants(name)) continue;
    const Tensor x = bench.random(shape, dtype), gamma = bench.random({channels}, kF32);
    Tensor y = bench.empty(shape, dtype);
    bench.run(name, DeviceBench::bytes(2 * count * as_double(dtype == kF32 ? 4 : 2)),
              [&] { bench.ops().channel_norm({.x = x, .gamma = gamma, .silu = true, .y = y}); });
  }
  const std::string name = concat("frames side by side ", shape);
  if (!bench.wants(name)) return;
  // [frame, H, W, which of two, C] to frames after each other.
  const Tensor pairs = bench.random({2, height, width, 2 * channels});
  Tensor frames = bench.empty(shape);
  const std::int64_t frame = height * width * channels;
  const TensorView turned(frames.view().bytes(), kBF16, {2, height, width, 2, channels},
                          {2 * frame, width * channels, channels, frame, 1},
                          frames.view().device());
  bench.run(name, DeviceBench::bytes(4 * count),
            [&] { bench.ops().copy(pairs.view().split_last(2, channels), turned); });
}

// The latent and what becomes of it.
void run_latent(DeviceBench& bench) {
  Ops& ops = bench.ops();
  const Shape shape = {1, 16, 21, 60, 104};
  const double count = as_double(shape.num_elements());
  const auto run = [&](const std::string& name, double bytes, const std::function<void()>& call) {
    if (bench.wants(name)) bench.run(name, DeviceBench::bytes(bytes), call);
  };
  const Tensor latent = bench.random(shape, kF32);
  Tensor other = bench.empty(shape, kF32), tokens = bench.random({1, 21 * 30 * 52, 64});
  run("patchify 21x60x104", 6 * count, [&] { ops.patchify({.latent = latent, .tokens = tokens}); });
  run("unpatchify 21x60x104", 6 * count,
      [&] { ops.unpatchify({.tokens = tokens, .latent = other}); });
  const std::array terms = {LinearTerm{0.5, latent}, LinearTerm{0.25, latent},
                            LinearTerm{0.125, latent}, LinearTerm{-0.5, latent}};
  run("linear_combination of 4", 20 * count, [&] { ops.linear_combination(terms, other); });
  Tensor last = bench.empty({21, 60, 104, 16});
  const std::int64_t plane = 60 * 104;
  const ConstTensorView turned(latent.view().bytes(), kF32, {21, 60, 104, 16},
                               {plane, 104, 1, 21 * plane}, latent.view().device());
  run("channels last 16x21x60x104", 6 * count, [&] { ops.copy(turned, last); });
  const Tensor frames = bench.random({33, 480, 832, 3}, kF32, 0.5);
  Tensor rgb = bench.empty({33, 480, 832, 3}, DType::kU8);
  run("to_rgb8 33x480x832", 5.0 * 33 * 480 * 832 * 3,
      [&] { ops.to_rgb8({.x = frames, .rgb = rgb}); });
}

void run_text(DeviceBench& bench) {
  Ops& ops = bench.ops();
  if (bench.wants("gelu_gate 512x10240")) {
    const Tensor gate = bench.random({512, 10240}), up = bench.random({512, 10240});
    Tensor y = bench.empty({512, 10240});
    bench.run("gelu_gate 512x10240", DeviceBench::bytes(6.0 * 512 * 10240),
              [&] { ops.gelu_gate({.gate = gate, .up = up, .y = y}); });
  }
  if (bench.wants("embedding 512x4096")) {
    const Tensor table = bench.random({2048, 4096});
    std::vector<std::int32_t> ids(512);
    std::iota(ids.begin(), ids.end(), 100);
    Tensor y = bench.empty({512, 4096});
    bench.run("embedding 512x4096", DeviceBench::bytes(4.0 * 512 * 4096),
              [&] { ops.embedding({.ids = ids, .table = table, .y = y}); });
  }
}

}  // namespace
}  // namespace psagen::kernels

int main(int argc, char** argv) {
  using namespace psagen::kernels;
  DeviceBench bench(argc > 1 ? argv[1] : "");
  run_tokens(bench, 32760, 12);
  run_tokens(bench, 75600, 40);
  run_frames(bench, 384, 120, 208);
  run_frames(bench, 192, 240, 416);
  run_frames(bench, 96, 480, 832);
  run_latent(bench);
  run_text(bench);
  return 0;
}
