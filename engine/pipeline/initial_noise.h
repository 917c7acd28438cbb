// The noise a seed stands for: the same numbers as torch.randn with a seeded CPU generator, so that
// one seed means one video here and in diffusers (spec/wan 5.7, "Noise").
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace psagen::engine {

// MT19937 seeded with the low 32 bits of `seed` (at::CPUGeneratorImpl).
class TorchCpuGenerator {
 public:
  explicit TorchCpuGenerator(std::uint64_t seed);
  std::uint32_t random();  // the next 32-bit word
  // Fills `out` as at::normal_ does: in blocks of 16 for 16 values or more, one by one below.
  void normal(std::span<float> out);

 private:
  void twist();
  double next_normal();  // of a pair, the second half is kept for the next call
  std::vector<std::uint32_t> state_;
  std::size_t next_ = 0;
  bool has_cached_normal_ = false;
  double cached_normal_ = 0.0;
};

}  // namespace psagen::engine
