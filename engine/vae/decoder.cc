#include "engine/vae/decoder.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "engine/nn/causal_conv3d.h"
#include "engine/vae/chunk_buffers.h"
#include "engine/vae/decoder_blocks.h"
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

// The latent's statistics folded into post_quant_conv, the first thing it meets: with
// z = latent * std + mean, W z + b = (W diag(std)) latent + (b + W mean). Exact, because a kernel
// of one pixel has no padding.
CausalConv3d fold_latent_statistics(const VaeConfig& config, const Weights& weights,
                                    kernels::Ops& ops) {
  const std::int64_t n = config.z_dim;
  CpuAllocator host;
  Tensor weight(host, DType::kF32, {n, n, 1, 1, 1});
  Tensor bias(host, DType::kF32, {n});
  ops.copy(weights.get(weight.shape(), "weight"), weight);
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
  return CausalConv3d(weight, bias, ops);
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

  // latent [T, h, w, z]; the result [T', H, W, 3] lies in the activations' buffers.
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
struct VaeDecoder::Activations {
  Activations(const Network& network, Allocator& allocator, std::int64_t chunk_frames,
              std::int64_t height, std::int64_t width);

  ChunkBuffers buffers;
  CausalConv3d::Context conv_in;
  MidBlock::State mid_block;
  std::vector<UpBlock::State> up_blocks;
  CausalConv3d::Context conv_out;
};

VaeDecoder::Activations::Activations(const Network& network, Allocator& allocator,
                                     std::int64_t chunk_frames, std::int64_t height,
                                     std::int64_t width)
    : buffers(allocator,
              largest_activation(network.config, network.stages, chunk_frames, height, width)),
      conv_in(network.conv_in.make_context(allocator, height, width)),
      mid_block(network.mid_block.make_state(allocator, height, width)) {
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
  ChunkBuffers& buffers = a.buffers;
  const TensorView packed = buffers.first_spare(latent.shape());  // [T, h, w, z]
  const TensorView z = buffers.second_spare(latent.shape());      // [T, h, w, z]
  ops.copy(latent, packed);
  post_quant_conv(ops, packed, z);
  buffers.set_x(z);
  const TensorView x =
      buffers.first_spare({latent.dim(0), latent.dim(1), latent.dim(2), conv_in.out_channels()});
  conv_in(ops, z, a.conv_in, x);
  buffers.set_x(x);

  mid_block.forward(ops, a.mid_block, buffers);
  for (std::size_t i = 0; i < up_blocks.size(); ++i)
    up_blocks[i].forward(ops, a.up_blocks[i], buffers);

  const TensorView y = buffers.x();  // [T', H, W, C]
  norm_out(ops, y, y);
  const TensorView rgb = buffers.first_spare({y.dim(0), y.dim(1), y.dim(2), kRgb});
  conv_out(ops, y, a.conv_out, rgb);
  return rgb;
}

VaeDecoder::VaeDecoder(const VaeConfig& config, const Weights& weights, kernels::Ops& ops)
    : network_(std::make_unique<const Network>(config, weights, ops)) {}

VaeDecoder::~VaeDecoder() = default;
VaeDecoder::VaeDecoder(VaeDecoder&&) noexcept = default;
VaeDecoder& VaeDecoder::operator=(VaeDecoder&&) noexcept = default;

void VaeDecoder::check_latent(ConstTensorView latent, std::int64_t latent_frames_per_chunk) const {
  PSAGEN_CHECK(latent.rank() == 5 && latent.dim(0) == 1 && latent.dim(1) == network_->config.z_dim,
               ErrorCode::kInvalidArgument, "latent has shape ", latent.shape(), ", wanted [1, ",
               network_->config.z_dim, ", T, h, w]");
  PSAGEN_CHECK(latent.num_elements() > 0, ErrorCode::kInvalidArgument, "latent of shape ",
               latent.shape(), " is empty");
  PSAGEN_CHECK(latent_frames_per_chunk >= 1, ErrorCode::kInvalidArgument,
               "latent frames per chunk is ", latent_frames_per_chunk, ", wanted at least 1");
}

void VaeDecoder::decode_values(kernels::Ops& ops, ConstTensorView latent, const FrameSink& sink,
                               const DecodeProgress& progress,
                               std::int64_t latent_frames_per_chunk) const {
  check_latent(latent, latent_frames_per_chunk);
  const ConstTensorView frames = channels_last(latent);
  const std::int64_t total = frames.dim(0);
  const std::int64_t chunk = std::min(latent_frames_per_chunk, total);
  Activations activations(*network_, ops.context().allocator(), chunk, frames.dim(1),
                          frames.dim(2));
  for (std::int64_t begin = 0; begin < total; begin += chunk) {
    const std::int64_t end = std::min(begin + chunk, total);
    const TensorView rgb = network_->decode_chunk(ops, frames.slice(0, begin, end), activations);
    if (sink) sink(rgb);
    PSAGEN_CHECK(!progress || progress(end, total), ErrorCode::kCancelled,
                 "decoding was cancelled after ", end, " of ", total, " latent frames");
  }
}

void VaeDecoder::decode(kernels::Ops& ops, ConstTensorView latent, const FrameSink& sink,
                        const DecodeProgress& progress,
                        std::int64_t latent_frames_per_chunk) const {
  check_latent(latent, latent_frames_per_chunk);
  const Network& n = *network_;
  const std::int64_t chunk = std::min(latent_frames_per_chunk, latent.dim(2));
  const std::int64_t stride = n.config.spatial_stride();
  Tensor rgb8(
      ops.context().allocator(), DType::kU8,
      {chunk * n.config.temporal_stride(), latent.dim(3) * stride, latent.dim(4) * stride, kRgb});
  const FrameSink convert = [&](ConstTensorView values) {
    const TensorView rgb = rgb8.view().slice(0, 0, values.dim(0));
    ops.to_rgb8({.x = values, .rgb = rgb});
    if (sink) sink(rgb);
  };
  decode_values(ops, latent, convert, progress, latent_frames_per_chunk);
}

}  // namespace psagen::engine
