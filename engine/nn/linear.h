// y = x W' + b, with the weight as the checkpoint stores it: [out, in].
#pragma once

#include <cstdint>

#include "engine/weights/weights.h"
#include "kernels/ops.h"

namespace psagen::engine {

class Linear {
 public:
  // kOfResult: of a result that has the type of the product; a GPU then keeps it in that type, in
  // which it is added (kernels/cuda/linear.cc).
  enum class Bias { kNone, kPresent, kOfResult };

  // Reads `weight` [out, in] and, unless told otherwise, `bias` [out].
  Linear(std::int64_t in, std::int64_t out, const Weights& weights, Bias bias = Bias::kPresent,
         Weights::Use use = Weights::Use::kProduct);

  // y = activation(x W' + b); x [B, ..., in], y [B, ..., out].
  void operator()(kernels::Ops& ops, ConstTensorView x, TensorView y,
                  kernels::Activation activation = kernels::Activation::kNone) const;
  // y = y + x W' + b
  void add_to(kernels::Ops& ops, ConstTensorView x, TensorView y) const;

 private:
  Parameter weight_;
  Parameter bias_;
};

}  // namespace psagen::engine
