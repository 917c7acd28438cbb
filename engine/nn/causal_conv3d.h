// Convolutions over [T, H, W, C] as a checkpoint of the Wan VAE stores them (spec/wan 4.1).
#pragma once

#include <cstdint>
#include <memory>

#include "engine/weights/weights.h"
#include "kernels/ops.h"

namespace psagen::engine {

// A 2-D convolution of each frame alone.
class FrameConv {
 public:
  enum class Sampling { kSame, kDouble };  // kDouble: nearest neighbour x2 in H and W before it

  // Reads `weight` [out, in, kernel, kernel] and `bias` [out].
  FrameConv(std::int64_t in, std::int64_t out, std::int64_t kernel, const Weights& weights,
            kernels::Ops& ops, Sampling sampling = Sampling::kSame);

  // y = conv(x), or y = conv(x) + residual, which may be y itself.
  void operator()(kernels::Ops& ops, ConstTensorView x, TensorView y,
                  ConstTensorView residual = {}) const;

 private:
  std::unique_ptr<kernels::PackedConv3d> packed_;
  Sampling sampling_;
};

// A 3-D convolution that sees the present frame and those before it. A clip may come in chunks of
// any size: the last frames of a chunk are kept for the next one, so the result is that of the
// whole clip at once. Before the clip there are zeros.
class CausalConv3d {
 public:
  struct Kernel {
    std::int64_t time = 1;
    std::int64_t space = 1;
  };

  // What one job remembers between chunks: the last time - 1 input frames.
  struct Context {
    Tensor frames;      // [time - 1, H, W, in] in the type of activations
    bool empty = true;  // nothing seen yet; `frames` holds no values
  };

  // Reads `weight` [out, in, time, space, space] and `bias` [out].
  CausalConv3d(std::int64_t in, std::int64_t out, Kernel kernel, const Weights& weights,
               kernels::Ops& ops);
  // The same from weights made by the caller.
  CausalConv3d(ConstTensorView weight, ConstTensorView bias, kernels::Ops& ops);

  Context make_context(Allocator& allocator, std::int64_t height, std::int64_t width) const;

  // y = conv(context ++ x), or that plus residual, which may be y itself; then keeps the last
  // frames of x. x [T, H, W, in], y [T, H, W, out]. `lead`, where it is given, is free memory for
  // time - 1 frames directly in front of x: the context is laid there, so that conv3d finds all
  // frames in one piece and need not copy x as well.
  void operator()(kernels::Ops& ops, ConstTensorView x, Context& context, TensorView y,
                  ConstTensorView residual = {}, TensorView lead = {}) const;
  // For a kernel of one frame, which needs no context.
  void operator()(kernels::Ops& ops, ConstTensorView x, TensorView y) const;

  std::int64_t out_channels() const { return packed_->out_channels; }

 private:
  void keep_last_frames(kernels::Ops& ops, ConstTensorView x, TensorView lead,
                        Context& context) const;

  std::unique_ptr<kernels::PackedConv3d> packed_;
  Tensor zero_;  // one element, on the device: what frames before the clip are made of
};

}  // namespace psagen::engine
