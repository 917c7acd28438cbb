// Which tokens of a block the sampled importance estimator looks at (official code,
// efficient_attn_with_pooling: a quarter of the positions, the same ones for every block of a
// head). Drawn from a counter, so that a seed means the same positions on every device and run.
#pragma once

#include <cstdint>
#include <vector>

namespace psagen::kernels {

enum class SampledSide : std::uint32_t { kQuery = 0, kKey = 1 };

// block / 4 distinct positions in [0, block), ascending. `head` counts over batch and heads.
std::vector<std::int32_t> sampled_positions(std::uint64_t seed, SampledSide side, std::int64_t head,
                                            int block);

}  // namespace psagen::kernels
