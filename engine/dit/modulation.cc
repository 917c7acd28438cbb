#include "engine/dit/modulation.h"

#include <array>

namespace psagen::engine {
namespace {

using kernels::LinearTerm;

// rows [1, R, C] -> row r as [1, C]
ConstTensorView row(ConstTensorView rows, std::int64_t r) {
  return rows.slice(1, r, r + 1).reshape({1, rows.dim(2)});
}

}  // namespace

ModulationTable::ModulationTable(std::int64_t num_rows, std::int64_t dim, const Weights& weights,
                                 kernels::Ops& ops)
    : table_(ops.context().allocator(), DType::kF32, {1, num_rows, dim}) {
  ops.copy(weights.get({1, num_rows, dim}, "scale_shift_table", Weights::Use::kValues), table_);
}

BlockModulation ModulationTable::block_rows(kernels::Ops& ops, ConstTensorView e0,
                                            TensorView rows) const {
  ops.linear_combination(std::array{LinearTerm{1.0, table_}, LinearTerm{1.0, e0}}, rows);
  return {.attention = {.shift = row(rows, 0), .scale = row(rows, 1), .gate = row(rows, 2)},
          .ffn = {.shift = row(rows, 3), .scale = row(rows, 4), .gate = row(rows, 5)}};
}

Modulation ModulationTable::head_rows(kernels::Ops& ops, ConstTensorView e, TensorView rows) const {
  const ConstTensorView e_row = e.reshape({1, 1, e.dim(1)});
  for (std::int64_t r = 0; r < 2; ++r)
    ops.linear_combination(
        std::array{LinearTerm{1.0, table_.view().slice(1, r, r + 1)}, LinearTerm{1.0, e_row}},
        rows.slice(1, r, r + 1));
  return {.shift = row(rows, 0), .scale = row(rows, 1), .gate = {}};
}

}  // namespace psagen::engine
