// A psagen_desc as the program's own types, checked. Throws Error(kInvalidArgument), or
// kUnsupported for what the device cannot do, that names the field.
#pragma once

#include "kernels/c_api/psagen.h"
#include "kernels/core/device.h"
#include "kernels/core/tensor.h"
#include "kernels/psa/psa_params.h"

namespace psagen::kernels {

psagen_desc default_description();

struct AttentionProblem {
  Shape heads;  // [B, L, N, D]
  DType scored = DType::kF32;
  DType summed = DType::kF32;
  Strides q{}, k{}, v{}, out{};
  double scale = 1.0;
};

// The description as a caller compiled with another version of the header gives it: fields that it
// does not know are as psagen_desc_init would have set them.
psagen_desc complete_description(const psagen_desc* desc);

AttentionProblem read_problem(const psagen_desc& desc, Device device);
PsaParams read_psa_params(const psagen_desc& desc);

}  // namespace psagen::kernels
