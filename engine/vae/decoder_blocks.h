// The blocks of the Wan 2.1 VAE decoder (spec/wan 4.1 to 4.3). Activations are [T, H, W, C] in
// ChunkBuffers: a block takes buffers.x() and leaves its result there.
//
// Weights are const and shared by all jobs; what a job remembers between chunks is a State, made
// once for the size of its frames.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/nn/causal_conv3d.h"
#include "engine/vae/chunk_buffers.h"
#include "engine/weights/weights.h"
#include "kernels/ops.h"

namespace psagen::engine {

// y = x / ||x|| * sqrt(C) * gamma over channels, then SiLU where asked for.
class ChannelNorm {
 public:
  enum class Stored { kVideo, kImage };  // `gamma` is [C, 1, 1, 1] or [C, 1, 1] in the file
  enum class Then { kNothing, kSilu };

  ChannelNorm(std::int64_t channels, Stored stored, Then then, const Weights& weights);

  void operator()(kernels::Ops& ops, ConstTensorView x, TensorView y) const;

 private:
  Parameter gamma_;
  std::int64_t channels_;
  Then then_;
};

// x -> shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x)))))); the shortcut is x itself where the
// number of channels stays.
class ResidualBlock {
 public:
  struct State {
    CausalConv3d::Context conv1, conv2;
  };

  ResidualBlock(std::int64_t in, std::int64_t out, const Weights& weights, kernels::Ops& ops);

  State make_state(Allocator& allocator, std::int64_t height, std::int64_t width) const;
  void forward(kernels::Ops& ops, State& state, ChunkBuffers& buffers) const;

 private:
  ChannelNorm norm1_;
  CausalConv3d conv1_;
  ChannelNorm norm2_;
  CausalConv3d conv2_;
  std::optional<CausalConv3d> conv_shortcut_;
};

// Full attention inside each frame, one head as wide as the channels.
class AttentionBlock {
 public:
  AttentionBlock(std::int64_t channels, const Weights& weights, kernels::Ops& ops);

  void forward(kernels::Ops& ops, ChunkBuffers& buffers) const;

 private:
  std::int64_t channels_;
  ChannelNorm norm_;
  FrameConv to_qkv_;
  FrameConv proj_;
};

class MidBlock {
 public:
  struct State {
    ResidualBlock::State before, after;
  };

  MidBlock(std::int64_t channels, const Weights& weights, kernels::Ops& ops);

  State make_state(Allocator& allocator, std::int64_t height, std::int64_t width) const;
  void forward(kernels::Ops& ops, State& state, ChunkBuffers& buffers) const;

 private:
  ResidualBlock before_;
  AttentionBlock attention_;
  ResidualBlock after_;
};

// Twice the height and width, half the channels; where `doubles_time`, also two frames for each but
// the very first of the clip.
class Upsampler {
 public:
  struct State {
    bool first_chunk = true;
    CausalConv3d::Context time_conv;
  };

  Upsampler(std::int64_t channels, bool doubles_time, const Weights& weights, kernels::Ops& ops);

  State make_state(Allocator& allocator, std::int64_t height, std::int64_t width) const;
  void forward(kernels::Ops& ops, State& state, ChunkBuffers& buffers) const;

 private:
  void double_time(kernels::Ops& ops, State& state, ChunkBuffers& buffers) const;

  std::int64_t channels_;
  FrameConv resample_;
  std::optional<CausalConv3d> time_conv_;
};

// How a stage changes the shape of a chunk.
struct UpBlockShape {
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t num_resnets = 0;
  bool doubles_space = false;
  bool doubles_time = false;  // only together with doubles_space
};

// One stage: residual blocks, then an upsampler in all stages but the last.
class UpBlock {
 public:
  struct State {
    std::vector<ResidualBlock::State> resnets;
    std::optional<Upsampler::State> upsampler;
  };

  UpBlock(const UpBlockShape& shape, const Weights& weights, kernels::Ops& ops);

  State make_state(Allocator& allocator, std::int64_t height, std::int64_t width) const;
  void forward(kernels::Ops& ops, State& state, ChunkBuffers& buffers) const;

 private:
  std::vector<ResidualBlock> resnets_;
  std::optional<Upsampler> upsampler_;
};

}  // namespace psagen::engine
