// Token table lookup.
#pragma once

#include <cstdint>
#include <span>

#include "engine/weights/weights.h"
#include "kernels/ops.h"

namespace psagen::engine {

class Embedding {
 public:
  // `table` [vocab_size, dim].
  explicit Embedding(Parameter table) : table_(std::move(table)) {}

  // y = table[ids]; y [S, dim]. Throws Error(kInvalidArgument) for an id outside the table.
  void operator()(kernels::Ops& ops, std::span<const std::int32_t> ids, TensorView y) const;

 private:
  Parameter table_;
};

}  // namespace psagen::engine
