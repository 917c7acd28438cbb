#include "kernels/psa/pyramid_buffers.h"

namespace psagen::kernels {

PyramidBuffers::PyramidBuffers(Ops& ops, const Shape& heads, DType keys, DType values,
                               int key_block, bool with_level_caps) {
  Allocator& memory = ops.context().allocator();
  const PyramidFormat format = ops.pyramid_format(keys);
  pyramid_.shape = {heads[1], key_block, format.finest_level};
  const std::int64_t rows = pyramid_.shape.total_rows();
  const Shape pooled = {heads[0], heads[2], rows, heads[3]};
  keys_ = Tensor(memory, format.dtype, pooled);
  values_ = Tensor(memory, ops.pyramid_format(values).dtype, pooled);
  log2_weight_ = Tensor(memory, DType::kF32, {rows});
  if (with_level_caps)
    level_caps_ = Tensor(memory, DType::kU8, {heads[0], heads[2], pyramid_.shape.key_blocks()});
  pyramid_.keys = keys_;
  pyramid_.values = values_;
  pyramid_.log2_weight = log2_weight_;
  pyramid_.level_caps = level_caps_;
}

}  // namespace psagen::kernels
