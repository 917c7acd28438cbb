#include "kernels/psa/sampling.h"

#include <algorithm>
#include <numeric>

#include "kernels/core/philox.h"

namespace psagen::kernels {

std::vector<std::int32_t> sampled_positions(std::uint64_t seed, SampledSide side, std::int64_t head,
                                            int block) {
  const PhiloxKey key = philox_key(seed);
  std::vector<std::uint32_t> draw(static_cast<std::size_t>(block));
  for (std::uint32_t i = 0; i < draw.size(); ++i)
    draw[i] = philox4x32({i, static_cast<std::uint32_t>(side), static_cast<std::uint32_t>(head), 0},
                         key)[0];
  std::vector<std::int32_t> positions(draw.size());
  std::iota(positions.begin(), positions.end(), 0);
  // The positions with the largest draws are a uniformly random subset.
  std::sort(positions.begin(), positions.end(), [&](std::int32_t a, std::int32_t b) {
    const std::uint32_t left = draw[static_cast<std::size_t>(a)];
    const std::uint32_t right = draw[static_cast<std::size_t>(b)];
    return left != right ? left > right : a < b;
  });
  positions.resize(draw.size() / 4);
  std::sort(positions.begin(), positions.end());
  return positions;
}

}  // namespace psagen::kernels
