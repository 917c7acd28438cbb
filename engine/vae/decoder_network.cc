#include "engine/vae/decoder_network.h"

#include <algorithm>

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

// Of x, which is the pixels `rows` and `columns`, those that are wanted.
ConstTensorView cut(const ConstTensorView& x, const PixelSpan& rows, const PixelSpan& columns,
                    const PixelSpan& wanted_rows, const PixelSpan& wanted_columns) {
  return x.slice(1, wanted_rows.begin - rows.begin, wanted_rows.end - rows.begin)
      .slice(2, wanted_columns.begin - columns.begin, wanted_columns.end - columns.begin);
}

}  // namespace

DecoderNetwork::DecoderNetwork(const VaeConfig& config, const Weights& weights, kernels::Ops& ops)
    : config_(config),
      stages_(stage_shapes(config)),
      post_quant_conv_(fold_latent_statistics(config, weights.child("post_quant_conv"), ops)),
      conv_in_(config.z_dim, stages_[0].in, kCube, weights.child("decoder").child("conv_in"), ops),
      mid_block_(stages_[0].in, weights.child("decoder").child("mid_block"), ops),
      norm_out_(stages_.back().out, ChannelNorm::Stored::kVideo, ChannelNorm::Then::kSilu,
                weights.child("decoder").child("norm_out")),
      conv_out_(stages_.back().out, kRgb, kCube, weights.child("decoder").child("conv_out"), ops) {
  const Weights blocks = weights.child("decoder").child("up_blocks");
  for (std::size_t i = 0; i < stages_.size(); ++i)
    up_blocks_.emplace_back(stages_[i], blocks.child(static_cast<std::int64_t>(i)), ops);
  weights.ignore("encoder");
  weights.ignore("quant_conv");
}

DecoderNetwork::MiddleState DecoderNetwork::make_middle(Allocator& allocator, std::int64_t height,
                                                        std::int64_t width) const {
  return {conv_in_.make_context(allocator, height, width),
          mid_block_.make_state(allocator, height, width)};
}

DecoderNetwork::UpperState DecoderNetwork::make_upper(Allocator& allocator,
                                                      const DecodeTile& tile) const {
  UpperState state;
  for (std::size_t i = 0; i < stages_.size(); ++i)
    state.up_blocks.push_back(up_blocks_[i].make_state(allocator, tile.rows.inputs[i].length(),
                                                       tile.columns.inputs[i].length()));
  const std::size_t last = stages_.size() - 1;
  state.conv_out = conv_out_.make_context(allocator, behind(last, tile.rows).length(),
                                          behind(last, tile.columns).length());
  return state;
}

BufferSize DecoderNetwork::middle_size(std::int64_t frames, std::int64_t height,
                                       std::int64_t width) const {
  const std::int64_t pixels = height * width, channels = std::max(config_.z_dim, stages_[0].in);
  // The queries, keys and values of the attention are the widest activation.
  return {frames * pixels * std::max(config_.z_dim, 3 * stages_[0].in),
          (kCube.time - 1) * pixels * channels};
}

BufferSize DecoderNetwork::upper_size(std::int64_t frames, const DecodeTile& tile,
                                      std::int64_t element_bytes) const {
  BufferSize size;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const UpBlockShape& stage = stages_[i];
    const std::int64_t pixels = tile.rows.inputs[i].length() * tile.columns.inputs[i].length();
    const std::int64_t widest = std::max(stage.in, stage.out);
    // All inputs of its causal convolutions are the stage's.
    size.lead = std::max(size.lead, (kCube.time - 1) * pixels * widest);
    size.capacity = std::max(size.capacity, frames * pixels * widest);
    if (stage.doubles_time) frames *= 2;
    size.capacity = std::max(size.capacity, frames * pixels * stage.out);
    if (stage.doubles_space)
      size.capacity = std::max(size.capacity, frames * 4 * pixels * (stage.out / 2));
  }
  const std::size_t last = stages_.size() - 1;
  const std::int64_t values =
      frames * behind(last, tile.rows).length() * behind(last, tile.columns).length() * kRgb;
  size.capacity =
      std::max(size.capacity, values * static_cast<std::int64_t>(sizeof(float)) / element_bytes);
  return size;
}

PixelSpan DecoderNetwork::behind(std::size_t stage, const TileAxis& axis) const {
  const std::int64_t factor = stages_[stage].doubles_space ? 2 : 1;
  return {factor * axis.inputs[stage].begin, factor * axis.inputs[stage].end};
}

void DecoderNetwork::middle(kernels::Ops& ops, ConstTensorView latent, MiddleState& state,
                            ChunkBuffers& buffers) const {
  const TensorView packed = buffers.first_spare(latent.shape());  // [T, h, w, z]
  const TensorView z = buffers.second_spare(latent.shape());      // [T, h, w, z]
  ops.copy(latent, packed);
  post_quant_conv_(ops, packed, z);
  buffers.set_x(z);
  const TensorView x =
      buffers.first_spare({latent.dim(0), latent.dim(1), latent.dim(2), middle_channels()});
  conv_in_(ops, z, state.conv_in, x, {}, buffers.lead_of(z, kCube.time - 1));
  buffers.set_x(x);
  mid_block_.forward(ops, state.mid_block, buffers);
}

TensorView DecoderNetwork::upper(kernels::Ops& ops, const DecodeTile& tile, UpperState& state,
                                 ChunkBuffers& buffers) const {
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    up_blocks_[i].forward(ops, state.up_blocks[i], buffers);
    if (i + 1 == stages_.size()) break;
    const PixelSpan rows = behind(i, tile.rows), columns = behind(i, tile.columns);
    const PixelSpan next_rows = tile.rows.inputs[i + 1], next_columns = tile.columns.inputs[i + 1];
    if (rows == next_rows && columns == next_columns) continue;
    const TensorView x = buffers.x();
    const TensorView kept =
        buffers.first_spare({x.dim(0), next_rows.length(), next_columns.length(), x.dim(3)});
    ops.copy(cut(x, rows, columns, next_rows, next_columns), kept);
    buffers.set_x(kept);
  }
  const TensorView y = buffers.x();  // [T', H, W, C]
  norm_out_(ops, y, y);
  const TensorView rgb = buffers.first_spare({y.dim(0), y.dim(1), y.dim(2), kRgb}, DType::kF32);
  conv_out_(ops, y, state.conv_out, rgb);  // with so few outputs a GPU reads frames in two pieces
  const std::size_t last = stages_.size() - 1;
  const PixelSpan rows = behind(last, tile.rows), columns = behind(last, tile.columns);
  if (rows == tile.rows.output && columns == tile.columns.output) return rgb;
  const TensorView kept = buffers.second_spare(
      {y.dim(0), tile.rows.output.length(), tile.columns.output.length(), kRgb}, DType::kF32);
  ops.copy(cut(rgb, rows, columns, tile.rows.output, tile.columns.output), kept);
  return kept;
}

}  // namespace psagen::engine
