// Adaptive layer-norm rows: a learnt table plus what the timestep adds (spec/wan 3.5, 3.6).
#pragma once

#include <cstdint>

#include "engine/weights/weights.h"
#include "kernels/core/tensor.h"
#include "kernels/ops.h"

namespace psagen::engine {

struct Modulation {
  ConstTensorView shift;  // [B, C]
  ConstTensorView scale;  // [B, C]
  ConstTensorView gate;   // [B, C]; empty for the head
};

struct BlockModulation {
  Modulation attention;
  Modulation ffn;
};

class ModulationTable {
 public:
  // Reads `scale_shift_table` [1, num_rows, dim] and keeps it in float32.
  ModulationTable(std::int64_t num_rows, std::int64_t dim, const Weights& weights,
                  kernels::Ops& ops);

  // rows = table + e0; e0, rows [1, 6, C].
  BlockModulation block_rows(kernels::Ops& ops, ConstTensorView e0, TensorView rows) const;
  // rows = table + e, the same e [1, C] for both rows; rows [1, 2, C].
  Modulation head_rows(kernels::Ops& ops, ConstTensorView e, TensorView rows) const;

 private:
  Tensor table_;
};

}  // namespace psagen::engine
