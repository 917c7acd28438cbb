#include "engine/vae/decoder.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "engine/nn/causal_conv3d.h"
#include "engine/vae/chunk_buffers.h"
#include "engine/vae/decoder_blocks.h"
#include "engine/vae/frame_delivery.h"
#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

constexpr std::int64_t kRgb = 3;
constexpr CausalConv3d::Kernel kCube = {.time = 3, .space = 3};

// Stage i maps dims[i] to dims[i + 1], dims = base * (last of dim_mult, then dim_mult reversed);
// all but the first find their input halved by the upsampler before them (spec/wan 4.2).
std::vector<UpBlockShape> stage_shapes(const VaeConfig& config) {
  const std::vector<std::int64_t> mult(config.dim_mult.rbegin(), config.dim_mult.rend());
  std::vector<UpBlockShape> stages(mult.size());
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const bool is_first = i == 0, is_last = i + 1 == stages.size();
    const std::int64_t before = config.decoder_base_dim * mult[is_first ? 0 : i - 1];
    stages[i].in = is_first ? before : before / 2;
    stages[i].out = config.decoder_base_dim * mult[i];
    stages[i].num_resnets = config.num_res_blocks + 1;
    stages[i].doubles_space = !is_last;
    stages[i].doubles_time =
        !is_last && config.temporal_downsample[config.temporal_downsample.size() - 1 - i];
  }
  return stages;
}

// On a GPU, beside the weights; and from how many latent frames a chunk on more bring nothing.
constexpr std::int64_t kDeviceBytes = 4'000'000'000;
constexpr std::int64_t kMostLatentFrames = 4;
// Workspace of the middle block's attention, which makes scores of 256 MiB at a time.
constexpr std::int64_t kWorkspaceBytes = std::int64_t{270} << 20;

// The most elements any buffer holds while a chunk of `frames` latent frames passes through; no
// chunk has more frames than one that is not the clip's first.
std::int64_t largest_activation(const VaeConfig& config, const std::vector<UpBlockShape>& stages,
                                std::int64_t frames, std::int64_t height, std::int64_t width) {
  std::int64_t elements = frames * height * width;  // of one channel
  // The middle block's queries, keys and values are its widest activation.
  std::int64_t largest = elements * std::max(config.z_dim, 3 * stages[0].in);
  for (const UpBlockShape& stage : stages) {
    largest = std::max(largest, elements * std::max(stage.in, stage.out));
    if (stage.doubles_time) elements *= 2;
    largest = std::max(largest, elements * stage.out);
    if (stage.doubles_space) {
      elements *= 4;
      largest = std::max(largest, elements * (stage.out / 2));
    }
  }
  return std::max(largest, elements * kRgb);
}

// The most elements of the frames a causal convolution keeps, all its inputs being a stage's.
std::int64_t largest_context(const VaeConfig& config, const std::vector<UpBlockShape>& stages,
                             std::int64_t height, std::int64_t width) {
  std::int64_t pixels = height * width, largest = pixels * config.z_dim;
  for (const UpBlockShape& stage : stages) {
    largest = std::max(largest, pixels * std::max(stage.in, stage.out));
    if (stage.doubles_space) pixels *= 4;
  }
  return (kCube.time - 1) * largest;
}

// The latent's statistics folded into post_quant_conv, the first thing it meets: with
// z = latent * std + mean, W z + b = (W diag(std)) latent + (b + W mean). Exact, because a kernel
// of one pixel has no padding.
CausalConv3d fold_latent_statistics(const VaeConfig& config, const Weights& weights,
                                    kernels::Ops& ops) {
  const std::int64_t n = config.z_dim;
  CpuAllocator host;
  Tensor weight(host, DType::kF32, {n, n, 1, 1, 1});
  Tensor bias(host, DType::kF32, {n});
  ops.copy(weights.get(weight.shape(), "weight", Weights::Use::kValues), weight);
  ops.copy(weights.get(bias.shape(), "bias"), bias);
  auto* const w = weight.view().data<float>();
  auto* const b = bias.view().data<float>();
  for (std::int64_t out = 0; out < n; ++out) {
    double sum = b[out];
    for (std::int64_t in = 0; in < n; ++in) {
      float& value = w[out * n + in];
      sum += value * config.latents_mean[in];
      value = static_cast<float>(value * config.latents_std[in]);
    }
    b[out] = static_cast<float>(sum);
  }
  Allocator& device = ops.context().allocator();
  Tensor device_weight(device, DType::kF32, weight.shape()), device_bias(device, DType::kF32, {n});
  ops.copy(weight, device_weight);
  ops.copy(bias, device_bias);
  return CausalConv3d(device_weight, device_bias, ops);
}

// A [1, C, T, h, w] latent seen as [T, h, w, C].
ConstTensorView channels_last(const ConstTensorView& latent) {
  const Strides& s = latent.strides();
  return {latent.bytes(),
          latent.dtype(),
          {latent.dim(2), latent.dim(3), latent.dim(4), latent.dim(1)},
          {s[2], s[3], s[4], s[1]},
          latent.device()};
}

}  // namespace

struct VaeDecoder::Network {
  Network(const VaeConfig& vae, const Weights& weights, kernels::Ops& ops);

  // latent [T, h, w, z]; the result [T', H, W, 3], float32, lies in the activations' buffers.
  TensorView decode_chunk(kernels::Ops& ops, ConstTensorView latent, Activations& a) const;

  VaeConfig config;
  std::vector<UpBlockShape> stages;
  CausalConv3d post_quant_conv;
  CausalConv3d conv_in;
  MidBlock mid_block;
  std::vector<UpBlock> up_blocks;
  ChannelNorm norm_out;
  CausalConv3d conv_out;
};

VaeDecoder::Network::Network(const VaeConfig& vae, const Weights& weights, kernels::Ops& ops)
    : config(vae),
      stages(stage_shapes(vae)),
      post_quant_conv(fold_latent_statistics(vae, weights.child("post_quant_conv"), ops)),
      conv_in(vae.z_dim, stages[0].in, kCube, weights.child("decoder").child("conv_in"), ops),
      mid_block(stages[0].in, weights.child("decoder").child("mid_block"), ops),
      norm_out(stages.back().out, ChannelNorm::Stored::kVideo, ChannelNorm::Then::kSilu,
               weights.child("decoder").child("norm_out")),
      conv_out(stages.back().out, kRgb, kCube, weights.child("decoder").child("conv_out"), ops) {
  const Weights blocks = weights.child("decoder").child("up_blocks");
  for (std::size_t i = 0; i < stages.size(); ++i)
    up_blocks.emplace_back(stages[i], blocks.child(static_cast<std::int64_t>(i)), ops);
  weights.ignore("encoder");
  weights.ignore("quant_conv");
}

// Everything one job needs, made before its first chunk.
//
// Wan 2.1 at 832 x 480 in bfloat16: the contexts of 32 convolutions hold 944 million values, 1.89
// GB; a buffer holds 307 MB for each latent frame of a chunk (96 channels at full size, 4 frames)
// and 153 MB in front of that for the two frames of a context; three buffers and the workspace
// bring it to 3.5 GB for one latent frame at a time, 4.5 GB for two.
struct VaeDecoder::Activations {
  Activations(const Network& network, kernels::Ops& ops, std::int64_t total_frames,
              std::int64_t height, std::int64_t width,
              std::optional<std::int64_t> latent_frames_per_chunk);

  CausalConv3d::Context conv_in;
  MidBlock::State mid_block;
  std::vector<UpBlock::State> up_blocks;
  CausalConv3d::Context conv_out;
  std::int64_t chunk_frames = 1;
  std::optional<ChunkBuffers> buffers;

 private:
  void make_contexts(const Network& network, Allocator& allocator, std::int64_t height,
                     std::int64_t width);
};

VaeDecoder::Activations::Activations(const Network& network, kernels::Ops& ops,
                                     std::int64_t total_frames, std::int64_t height,
                                     std::int64_t width,
                                     std::optional<std::int64_t> latent_frames_per_chunk) {
  Allocator& allocator = ops.context().allocator();
  const DType dtype = ops.context().compute_dtype();
  const auto element = static_cast<std::int64_t>(dtype_size(dtype));
  const bool is_gpu = ops.context().runtime() != nullptr;
  const auto held = static_cast<std::int64_t>(allocator.bytes_in_use());
  make_contexts(network, allocator, height, width);
  const std::int64_t context_bytes = static_cast<std::int64_t>(allocator.bytes_in_use()) - held;

  // The CPU's convolutions copy their frames anyway. The last frames are float32 whatever the rest.
  const std::int64_t lead =
      is_gpu ? largest_context(network.config, network.stages, height, width) : 0;
  const auto capacity = [&](std::int64_t frames) {
    const std::int64_t pixels = height * width * network.config.spatial_stride() *
                                network.config.spatial_stride() * frames *
                                network.config.temporal_stride();
    return std::max(largest_activation(network.config, network.stages, frames, height, width),
                    pixels * kRgb * static_cast<std::int64_t>(sizeof(float)) / element);
  };
  const auto fits = [&](std::int64_t frames) {
    return context_bytes + 3 * (capacity(frames) + lead) * element + kWorkspaceBytes <=
           kDeviceBytes;
  };
  chunk_frames = latent_frames_per_chunk.value_or(is_gpu ? kMostLatentFrames : 1);
  if (is_gpu && !latent_frames_per_chunk)
    while (chunk_frames > 1 && !fits(chunk_frames)) --chunk_frames;
  chunk_frames = std::min(chunk_frames, total_frames);
  buffers.emplace(allocator, capacity(chunk_frames), dtype, lead);
}

void VaeDecoder::Activations::make_contexts(const Network& network, Allocator& allocator,
                                            std::int64_t height, std::int64_t width) {
  conv_in = network.conv_in.make_context(allocator, height, width);
  mid_block = network.mid_block.make_state(allocator, height, width);
  for (std::size_t i = 0; i < network.stages.size(); ++i) {
    up_blocks.push_back(network.up_blocks[i].make_state(allocator, height, width));
    if (network.stages[i].doubles_space) {
      height *= 2;
      width *= 2;
    }
  }
  conv_out = network.conv_out.make_context(allocator, height, width);
}

TensorView VaeDecoder::Network::decode_chunk(kernels::Ops& ops, ConstTensorView latent,
                                             Activations& a) const {
  ChunkBuffers& buffers = *a.buffers;
  const TensorView packed = buffers.first_spare(latent.shape());  // [T, h, w, z]
  const TensorView z = buffers.second_spare(latent.shape());      // [T, h, w, z]
  ops.copy(latent, packed);
  post_quant_conv(ops, packed, z);
  buffers.set_x(z);
  const TensorView x =
      buffers.first_spare({latent.dim(0), latent.dim(1), latent.dim(2), conv_in.out_channels()});
  conv_in(ops, z, a.conv_in, x, {}, buffers.lead_of(z, kCube.time - 1));
  buffers.set_x(x);

  mid_block.forward(ops, a.mid_block, buffers);
  for (std::size_t i = 0; i < up_blocks.size(); ++i)
    up_blocks[i].forward(ops, a.up_blocks[i], buffers);

  const TensorView y = buffers.x();  // [T', H, W, C]
  norm_out(ops, y, y);
  const TensorView rgb = buffers.first_spare({y.dim(0), y.dim(1), y.dim(2), kRgb}, DType::kF32);
  conv_out(ops, y, a.conv_out, rgb);  // with so few outputs a GPU reads frames in two pieces
  return rgb;
}

VaeDecoder::VaeDecoder(const VaeConfig& config, const Weights& weights, kernels::Ops& ops)
    : network_(std::make_unique<const Network>(config, weights, ops)) {}

VaeDecoder::~VaeDecoder() = default;
VaeDecoder::VaeDecoder(VaeDecoder&&) noexcept = default;
VaeDecoder& VaeDecoder::operator=(VaeDecoder&&) noexcept = default;

namespace {

// NaN and infinite values of all chunks; looked at once, at the end, so that no chunk is waited
// for.
class NonfiniteCounter {
 public:
  explicit NonfiniteCounter(kernels::Ops& ops)
      : count_(ops.context().allocator(), DType::kI32, {1}) {
    ops.copy(host(), count_);
  }

  void add(kernels::Ops& ops, ConstTensorView values) { ops.count_nonfinite(values, count_); }

  // Throws Error(kNumeric) where there were any.
  void check(kernels::Ops& ops) {
    ops.copy(count_, host());
    PSAGEN_CHECK(found_ == 0, ErrorCode::kNumeric, "the decoder gave ", found_,
                 " values that are NaN or infinite");
  }

 private:
  TensorView host() { return {reinterpret_cast<std::byte*>(&found_), DType::kI32, {1}, Device{}}; }

  Tensor count_;
  std::int32_t found_ = 0;
};

void check_latent(const VaeConfig& config, ConstTensorView latent,
                  std::int64_t latent_frames_per_chunk) {
  PSAGEN_CHECK(latent.rank() == 5 && latent.dim(0) == 1 && latent.dim(1) == config.z_dim,
               ErrorCode::kInvalidArgument, "latent has shape ", latent.shape(), ", wanted [1, ",
               config.z_dim, ", T, h, w]");
  PSAGEN_CHECK(latent.num_elements() > 0, ErrorCode::kInvalidArgument, "latent of shape ",
               latent.shape(), " is empty");
  PSAGEN_CHECK(latent_frames_per_chunk >= 1, ErrorCode::kInvalidArgument,
               "latent frames per chunk is ", latent_frames_per_chunk, ", wanted at least 1");
}

}  // namespace

void VaeDecoder::run(kernels::Ops& ops, ConstTensorView latent, Output output,
                     const FrameSink& sink, const DecodeProgress& progress,
                     std::optional<std::int64_t> latent_frames_per_chunk) const {
  const VaeConfig& config = network_->config;
  check_latent(config, latent, latent_frames_per_chunk.value_or(1));
  const ConstTensorView frames = channels_last(latent);
  const std::int64_t total = frames.dim(0), stride = config.spatial_stride();
  Activations activations(*network_, ops, total, frames.dim(1), frames.dim(2),
                          latent_frames_per_chunk);
  const std::int64_t chunk = activations.chunk_frames;
  const Shape largest = {chunk * config.temporal_stride(), frames.dim(1) * stride,
                         frames.dim(2) * stride, kRgb};
  Tensor rgb8;
  if (output == Output::kRgb8) rgb8 = Tensor(ops.context().allocator(), DType::kU8, largest);
  FrameDelivery delivery(ops.context(), output == Output::kRgb8 ? DType::kU8 : DType::kF32, largest,
                         [&](ConstTensorView rgb, std::int64_t done) {
                           if (sink) sink(rgb);
                           PSAGEN_CHECK(!progress || progress(done, total), ErrorCode::kCancelled,
                                        "decoding was cancelled after ", done, " of ", total,
                                        " latent frames");
                         });
  NonfiniteCounter nonfinite(ops);
  for (std::int64_t begin = 0; begin < total; begin += chunk) {
    const std::int64_t end = std::min(begin + chunk, total);
    const Profiler::Range range(ops.context().profiler(), "chunk", begin / chunk);
    ConstTensorView rgb = network_->decode_chunk(ops, frames.slice(0, begin, end), activations);
    if (output == Output::kRgb8) {
      nonfinite.add(ops, rgb);  // what is not a number would be rounded to a colour
      const TensorView rounded = rgb8.view().slice(0, 0, rgb.dim(0));
      ops.to_rgb8({.x = rgb, .rgb = rounded});
      rgb = rounded;
    }
    delivery.push(rgb, end);
  }
  delivery.finish();
  nonfinite.check(ops);
}

void VaeDecoder::decode(kernels::Ops& ops, ConstTensorView latent, const FrameSink& sink,
                        const DecodeProgress& progress,
                        std::optional<std::int64_t> latent_frames_per_chunk) const {
  run(ops, latent, Output::kRgb8, sink, progress, latent_frames_per_chunk);
}

void VaeDecoder::decode_values(kernels::Ops& ops, ConstTensorView latent, const FrameSink& sink,
                               const DecodeProgress& progress,
                               std::optional<std::int64_t> latent_frames_per_chunk) const {
  run(ops, latent, Output::kValues, sink, progress, latent_frames_per_chunk);
}

}  // namespace psagen::engine
