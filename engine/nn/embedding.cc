#include "engine/nn/embedding.h"

namespace psagen::engine {

void Embedding::operator()(kernels::Ops& ops, std::span<const std::int32_t> ids,
                           TensorView y) const {
  const std::int64_t vocab_size = table_.view().dim(0);
  for (const std::int32_t id : ids)
    PSAGEN_CHECK(id >= 0 && id < vocab_size, ErrorCode::kInvalidArgument, "token id ", id,
                 " is outside the text encoder's vocabulary of ", vocab_size);
  ops.embedding({.ids = ids, .table = table_, .y = y});
}

}  // namespace psagen::engine
