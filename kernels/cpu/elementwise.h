// Everything that treats elements on their own: activations, sums, copies, token and pixel layouts.
#pragma once

#include "kernels/ops.h"

namespace psagen::kernels::cpu {

void gelu_gate(Context& context, const GeluGateArgs& args);
void activate(Context& context, ConstTensorView x, Activation activation, TensorView y);
void embedding(Context& context, const EmbeddingArgs& args);
void linear_combination(Context& context, std::span<const LinearTerm> terms, TensorView y);
void to_rgb8(Context& context, const ToRgb8Args& args);
void count_nonfinite(Context& context, ConstTensorView x, TensorView counter);
std::int64_t count_nonfinite(const float* x, std::int64_t width);

}  // namespace psagen::kernels::cpu
