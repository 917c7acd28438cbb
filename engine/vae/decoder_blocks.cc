#include "engine/vae/decoder_blocks.h"

#include <cmath>

namespace psagen::engine {
namespace {

constexpr CausalConv3d::Kernel kCube = {.time = 3, .space = 3};
constexpr CausalConv3d::Kernel kPoint = {.time = 1, .space = 1};
constexpr CausalConv3d::Kernel kTimeOnly = {.time = 3, .space = 1};

// Frames of its past that a kernel of three frames sees.
constexpr std::int64_t kPastFrames = 2;

Shape with_channels(Shape shape, std::int64_t channels) {
  shape[-1] = channels;
  return shape;
}

}  // namespace

ChannelNorm::ChannelNorm(std::int64_t channels, Stored stored, Then then, const Weights& weights)
    : channels_(channels), then_(then) {
  const Shape shape = stored == Stored::kVideo ? Shape{channels, 1, 1, 1} : Shape{channels, 1, 1};
  gamma_ = weights.get(shape, "gamma", Weights::Use::kValues);
}

void ChannelNorm::operator()(kernels::Ops& ops, ConstTensorView x, TensorView y) const {
  ops.channel_norm(
      {.x = x, .gamma = gamma_.view().reshape({channels_}), .silu = then_ == Then::kSilu, .y = y});
}

ResidualBlock::ResidualBlock(std::int64_t in, std::int64_t out, const Weights& weights,
                             kernels::Ops& ops)
    : norm1_(in, ChannelNorm::Stored::kVideo, ChannelNorm::Then::kSilu, weights.child("norm1")),
      conv1_(in, out, kCube, weights.child("conv1"), ops),
      norm2_(out, ChannelNorm::Stored::kVideo, ChannelNorm::Then::kSilu, weights.child("norm2")),
      conv2_(out, out, kCube, weights.child("conv2"), ops) {
  if (in != out) conv_shortcut_.emplace(in, out, kPoint, weights.child("conv_shortcut"), ops);
}

ResidualBlock::State ResidualBlock::make_state(Allocator& allocator, std::int64_t height,
                                               std::int64_t width) const {
  return {conv1_.make_context(allocator, height, width),
          conv2_.make_context(allocator, height, width)};
}

void ResidualBlock::forward(kernels::Ops& ops, State& state, ChunkBuffers& buffers) const {
  const TensorView x = buffers.x();                                   // [T, H, W, in]
  const Shape out = with_channels(x.shape(), conv1_.out_channels());  // [T, H, W, out]
  const TensorView normed = buffers.first_spare(x.shape());           // [T, H, W, in]
  const TensorView hidden = buffers.second_spare(out);                // [T, H, W, out]
  norm1_(ops, x, normed);
  conv1_(ops, normed, state.conv1, hidden, {}, buffers.lead_of(normed, kPastFrames));
  norm2_(ops, hidden, hidden);
  const TensorView lead = buffers.lead_of(hidden, kPastFrames);
  if (!conv_shortcut_) {
    conv2_(ops, hidden, state.conv2, x, x, lead);
    return;
  }
  const TensorView sum = buffers.first_spare(out);  // conv1 has read what stood there
  (*conv_shortcut_)(ops, x, sum);
  conv2_(ops, hidden, state.conv2, sum, sum, lead);
  buffers.set_x(sum);
}

AttentionBlock::AttentionBlock(std::int64_t channels, const Weights& weights, kernels::Ops& ops)
    : channels_(channels),
      norm_(channels, ChannelNorm::Stored::kImage, ChannelNorm::Then::kNothing,
            weights.child("norm")),
      to_qkv_(channels, 3 * channels, 1, weights.child("to_qkv"), ops),
      proj_(channels, channels, 1, weights.child("proj"), ops) {}

void AttentionBlock::forward(kernels::Ops& ops, ChunkBuffers& buffers) const {
  const TensorView x = buffers.x();  // [T, H, W, C]
  const std::int64_t frames = x.dim(0), pixels = x.dim(1) * x.dim(2);
  const TensorView y = buffers.first_spare(x.shape());  // as x
  const TensorView qkv = buffers.second_spare(with_channels(x.shape(), 3 * channels_));
  norm_(ops, x, y);
  to_qkv_(ops, y, qkv);
  // A frame is a batch entry, a pixel a token.
  const TensorView tokens = qkv.reshape({frames, pixels, 3, channels_});
  ops.attention({.q = tokens.slice(2, 0, 1),  // [T, H W, 1, C] each
                 .k = tokens.slice(2, 1, 2),
                 .v = tokens.slice(2, 2, 3),
                 .scale = 1.0 / std::sqrt(static_cast<double>(channels_)),
                 .out = y.reshape({frames, pixels, 1, channels_})});
  proj_(ops, y, x, x);
}

MidBlock::MidBlock(std::int64_t channels, const Weights& weights, kernels::Ops& ops)
    : before_(channels, channels, weights.child("resnets").child(0), ops),
      attention_(channels, weights.child("attentions").child(0), ops),
      after_(channels, channels, weights.child("resnets").child(1), ops) {}

MidBlock::State MidBlock::make_state(Allocator& allocator, std::int64_t height,
                                     std::int64_t width) const {
  return {before_.make_state(allocator, height, width),
          after_.make_state(allocator, height, width)};
}

void MidBlock::forward(kernels::Ops& ops, State& state, ChunkBuffers& buffers) const {
  before_.forward(ops, state.before, buffers);
  attention_.forward(ops, buffers);
  after_.forward(ops, state.after, buffers);
}

Upsampler::Upsampler(std::int64_t channels, bool doubles_time, const Weights& weights,
                     kernels::Ops& ops)
    : channels_(channels),
      resample_(channels, channels / 2, 3, weights.child("resample").child(1), ops,
                FrameConv::Sampling::kDouble) {
  if (doubles_time)
    time_conv_.emplace(channels, 2 * channels, kTimeOnly, weights.child("time_conv"), ops);
}

Upsampler::State Upsampler::make_state(Allocator& allocator, std::int64_t height,
                                       std::int64_t width) const {
  State state;
  if (time_conv_) state.time_conv = time_conv_->make_context(allocator, height, width);
  return state;
}

void Upsampler::forward(kernels::Ops& ops, State& state, ChunkBuffers& buffers) const {
  if (time_conv_) double_time(ops, state, buffers);
  const TensorView x = buffers.x();  // [T, H, W, C]
  const TensorView y = buffers.first_spare({x.dim(0), 2 * x.dim(1), 2 * x.dim(2), channels_ / 2});
  resample_(ops, x, y);
  buffers.set_x(y);
}

// The clip's first frame passes as it is, and time_conv does not see it: for the second frame its
// context is still zeros (spec/wan 4.3). Every other frame becomes two, the first and the second
// half of time_conv's channels.
void Upsampler::double_time(kernels::Ops& ops, State& state, ChunkBuffers& buffers) const {
  const TensorView x = buffers.x();  // [T, H, W, C]
  const std::int64_t single = state.first_chunk ? 1 : 0;
  const std::int64_t doubled = x.dim(0) - single;
  state.first_chunk = false;
  if (doubled == 0) return;
  const std::int64_t height = x.dim(1), width = x.dim(2);
  const TensorView pairs = buffers.first_spare({doubled, height, width, 2 * channels_});
  const TensorView later = x.slice(0, single, x.dim(0));
  (*time_conv_)(ops, later, state.time_conv, pairs, {}, buffers.lead_of(later, kPastFrames));

  const TensorView y = buffers.second_spare({single + 2 * doubled, height, width, channels_});
  if (single > 0) ops.copy(x.slice(0, 0, 1), y.slice(0, 0, 1));
  // y as [pair, H, W, which of the two, C], the order in which time_conv gives them.
  const TensorView pair_frames = y.slice(0, single, y.dim(0));
  const std::int64_t frame = pair_frames.stride(0);
  const TensorView interleaved(pair_frames.bytes(), x.dtype(),
                               {doubled, height, width, 2, channels_},
                               {2 * frame, width * channels_, channels_, frame, 1}, y.device());
  ops.copy(pairs.split_last(2, channels_), interleaved);
  buffers.set_x(y);
}

UpBlock::UpBlock(const UpBlockShape& shape, const Weights& weights, kernels::Ops& ops) {
  for (std::int64_t i = 0; i < shape.num_resnets; ++i)
    resnets_.emplace_back(i == 0 ? shape.in : shape.out, shape.out,
                          weights.child("resnets").child(i), ops);
  if (shape.doubles_space)
    upsampler_.emplace(shape.out, shape.doubles_time, weights.child("upsamplers").child(0), ops);
}

UpBlock::State UpBlock::make_state(Allocator& allocator, std::int64_t height,
                                   std::int64_t width) const {
  State state;
  for (const ResidualBlock& resnet : resnets_)
    state.resnets.push_back(resnet.make_state(allocator, height, width));
  if (upsampler_) state.upsampler = upsampler_->make_state(allocator, height, width);
  return state;
}

void UpBlock::forward(kernels::Ops& ops, State& state, ChunkBuffers& buffers) const {
  for (std::size_t i = 0; i < resnets_.size(); ++i)
    resnets_[i].forward(ops, state.resnets[i], buffers);
  if (upsampler_) upsampler_->forward(ops, *state.upsampler, buffers);
}

}  // namespace psagen::engine
