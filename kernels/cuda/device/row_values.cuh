// Rows of a tensor shared out among threads, each part of a row in one thread's registers: an op
// over rows reads memory once, however often it needs the values.
//
// A row is cut into chunks of kElements; thread `lane` of the kThreads that share it has chunks
// lane, lane + kThreads, ... so that neighbours read neighbouring addresses. What is read once
// passes by the L1 cache, where the parameters that all rows need stay.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/device/reduce.cuh"

namespace psagen::kernels::cuda {

// kThreads share a row, each holding up to kChunks chunks; 0: none, rows of any width are read anew
// each time. kAligned: a chunk is one access, else it is read element by element.
template <int kThreads_, int kChunks_, int kElements_, bool kAligned_>
struct RowTraits {
  static constexpr int kThreads = kThreads_;
  static constexpr int kChunks = kChunks_;
  static constexpr int kElements = kElements_;
  static constexpr bool kAligned = kAligned_;
  static constexpr bool kHeld = kChunks > 0;
  static constexpr int kMaxWidth = kThreads * kChunks * kElements;  // where held
  // Threads. Of narrow rows many make a block, or starting blocks would take the time.
  static constexpr int kBlock = kThreads >= 128 ? kThreads : kThreads == 32 ? 128 : 256;
  static constexpr int kRowsOfBlock = kBlock / kThreads;
};

// A chunk that is read once.
template <bool kAligned, typename T, int N>
__device__ inline Pack<T, N> load_chunk_once(const T* from) {
  Pack<T, N> chunk;
  if constexpr (!kAligned) {
#pragma unroll
    for (int i = 0; i < N; ++i) chunk.values[i] = from[i];
  } else if constexpr (sizeof(chunk) == 16) {
    *reinterpret_cast<uint4*>(&chunk) = __ldcg(reinterpret_cast<const uint4*>(from));
  } else {
    static_assert(sizeof(chunk) == 8);
    *reinterpret_cast<uint2*>(&chunk) = __ldcg(reinterpret_cast<const uint2*>(from));
  }
  return chunk;
}

template <bool kAligned, int N, typename T>
__device__ inline void load_chunk(const T* from, float (&to)[N]) {
  if constexpr (kAligned) {
    load_floats<N>(from, to);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = widen(from[i]);
  }
}

template <bool kAligned, int N, typename T>
__device__ inline void store_chunk(const float (&from)[N], T* to) {
  if constexpr (kAligned) {
    store_floats<N>(from, to);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = narrow<T>(from[i]);
  }
}

// What one thread has of a row.
template <typename Traits>
class RowPart {
 public:
  static constexpr int kElements = Traits::kElements;

  __device__ RowPart(int lane, int width) : first_(lane * kElements), width_(width) {}

  // The row begins at element `offset` of `x`. Not held, it is read by each() and combine(), and
  // must stay as it is or hold what is to be seen there instead.
  __device__ void load(ConstReals x, std::int64_t offset) {
    if constexpr (Traits::kHeld) {
      for_real_type(x.dtype, [&](auto type) {
        load_as(static_cast<const decltype(type)*>(x.data) + offset);
      });
    } else {
      x_ = x;
      offset_ = offset;
    }
  }

  // Calls visit(index of the first element, values) for this thread's chunks.
  template <typename Visit>
  __device__ void each(Visit&& visit) {
    if constexpr (Traits::kHeld) {
#pragma unroll
      for (int c = 0; c < Traits::kChunks; ++c)
        if (index(c) < width_) visit(index(c), values_[c]);
    } else {
      for (int i = first_; i < width_; i += kStep) {
        float values[kElements];
        reload(i, values);
        visit(i, values);
      }
    }
  }

  // The same with the chunk of another part beside: visit(index, values, others).
  template <typename Visit>
  __device__ void combine(RowPart& other, Visit&& visit) {
    if constexpr (Traits::kHeld) {
#pragma unroll
      for (int c = 0; c < Traits::kChunks; ++c)
        if (index(c) < width_) visit(index(c), values_[c], other.values_[c]);
    } else {
      for (int i = first_; i < width_; i += kStep) {
        float values[kElements], others[kElements];
        reload(i, values);
        other.reload(i, others);
        visit(i, values, others);
      }
    }
  }

  // Sum over the elements of this thread of f(value).
  template <typename Function>
  __device__ float sum(Function&& f) {
    float total = 0.0f;
    each([&](int, const float(&values)[kElements]) {
#pragma unroll
      for (int i = 0; i < kElements; ++i) total += f(values[i]);
    });
    return total;
  }

 private:
  static constexpr int kStep = Traits::kThreads * kElements;
  static constexpr int kStored = Traits::kHeld ? Traits::kChunks : 1;

  __device__ int index(int chunk) const { return first_ + chunk * kStep; }

  // All loads first, conversions after, so that the loads are in flight together.
  template <typename T>
  __device__ void load_as(const T* row) {
    Pack<T, kElements> chunks[kStored];
#pragma unroll
    for (int c = 0; c < kStored; ++c)
      if (index(c) < width_)
        chunks[c] = load_chunk_once<Traits::kAligned, T, kElements>(row + index(c));
#pragma unroll
    for (int c = 0; c < kStored; ++c)
#pragma unroll
      for (int i = 0; i < kElements; ++i) values_[c][i] = widen(chunks[c].values[i]);
  }

  __device__ void reload(int i, float (&values)[kElements]) const {
    for_real_type(x_.dtype, [&](auto type) {
      load_chunk<Traits::kAligned>(static_cast<const decltype(type)*>(x_.data) + offset_ + i,
                                   values);
    });
  }

  int first_;
  int width_;
  float values_[kStored][kElements];
  ConstReals x_;
  std::int64_t offset_ = 0;
};

// Which row the calling thread works on, and which of the threads that share it it is.
template <typename Traits>
struct RowThread {
  int lane = static_cast<int>(threadIdx.x) % Traits::kThreads;
  int row = static_cast<int>(blockIdx.x) * Traits::kRowsOfBlock +
            static_cast<int>(threadIdx.x) / Traits::kThreads;
};

}  // namespace psagen::kernels::cuda
