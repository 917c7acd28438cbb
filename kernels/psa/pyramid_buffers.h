// The memory of a pyramid of one shape.
#pragma once

#include "kernels/ops.h"
#include "kernels/psa/psa_args.h"

namespace psagen::kernels {

class PyramidBuffers {
 public:
  // heads: [B, L, N, D], with keys and values of these types. Takes memory from the allocator of
  // the ops' context.
  PyramidBuffers(Ops& ops, const Shape& heads, DType keys, DType values, int key_block,
                 bool with_level_caps);

  const Pyramid& pyramid() const { return pyramid_; }

 private:
  Tensor keys_, values_, log2_weight_, level_caps_;
  Pyramid pyramid_;
};

}  // namespace psagen::kernels
