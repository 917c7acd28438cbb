// In the place of CUDA's header: as much of its language as row teams need, on threads of the host.
// A block of CUDA's threads is as many of the host's, which meet where CUDA's would.
#pragma once

#include <algorithm>
#include <array>
#include <barrier>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#define __device__

struct ThreadIndex {
  int x = 0;
};
inline thread_local ThreadIndex threadIdx;

namespace psagen::testing {

// Threads that meet, and a number of each for the others to see.
class Meeting {
 public:
  explicit Meeting(int count) : all_(count), numbers_(static_cast<std::size_t>(count)) {}
  void wait() { all_.arrive_and_wait(); }
  // Every thread's number, at once; none is changed before all have looked.
  template <typename Look>
  auto exchange(int thread, std::uint64_t number, const Look& look) {
    numbers_[static_cast<std::size_t>(thread)] = number;
    wait();
    const auto result = look(numbers_);
    wait();
    return result;
  }

 private:
  std::barrier<> all_;
  std::vector<std::uint64_t> numbers_;
};

struct CudaBlock {
  explicit CudaBlock(int count) : threads(count) {
    for (int i = 0; i < count / 32; ++i) warps.emplace_back(32);
  }
  Meeting threads;
  std::deque<Meeting> warps;
};
inline thread_local CudaBlock* cuda_block = nullptr;

inline void run_block(int count, const std::function<void()>& kernel) {
  CudaBlock block(count);
  std::vector<std::jthread> threads;
  for (int i = 0; i < count; ++i)
    threads.emplace_back([&block, &kernel, i] {
      threadIdx.x = i;
      cuda_block = &block;
      kernel();
    });
}

inline Meeting& warp() { return cuda_block->warps[static_cast<std::size_t>(threadIdx.x) / 32]; }
inline bool is_any(const std::vector<std::uint64_t>& numbers) {
  return std::any_of(numbers.begin(), numbers.end(), [](std::uint64_t n) { return n != 0; });
}

}  // namespace psagen::testing

inline void __syncwarp() { psagen::testing::warp().wait(); }
inline void __syncthreads() { psagen::testing::cuda_block->threads.wait(); }
inline bool __any_sync(unsigned, bool value) {
  return psagen::testing::warp().exchange(threadIdx.x % 32, value, psagen::testing::is_any);
}
inline bool __syncthreads_or(bool value) {
  return psagen::testing::cuda_block->threads.exchange(threadIdx.x, value, psagen::testing::is_any);
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int lanes) {
  const int lane = threadIdx.x % 32;
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = psagen::testing::warp().exchange(lane, bits, [&](const auto& numbers) {
    return numbers[static_cast<std::size_t>(lane ^ lanes)];
  });
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
inline int __clz(int value) { return std::countl_zero(static_cast<unsigned>(value)); }
inline float __uint_as_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }
inline std::uint32_t __float_as_uint(float value) { return std::bit_cast<std::uint32_t>(value); }
template <typename T>
T min(T a, T b) {
  return std::min(a, b);
}
template <typename T>
T max(T a, T b) {
  return std::max(a, b);
}
