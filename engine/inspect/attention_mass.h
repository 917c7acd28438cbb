// Where a head's attention really lies.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/dit/attention_probe.h"
#include "kernels/ops.h"

namespace psagen::engine {

// [query blocks, key blocks]: softmax(scale q k') of one head, summed over the queries and keys of
// each pair of blocks, as a share of the whole; the sum is 1. Exact but for the rounding of the
// device's attention (a share is an average over the queries of a block; in bfloat16 it is good to
// three digits). It costs ceil(key blocks / D) dense attentions of one head, 4 L^2 D operations
// each.
std::vector<double> attention_mass(kernels::Ops& ops, const AttentionInputs& inputs,
                                   std::int64_t head, int query_block, int key_block);

}  // namespace psagen::engine
