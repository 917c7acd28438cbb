// Element types on the device: conversion to float32 and, rounded once, back; 16-byte access.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "kernels/core/dtype.h"
#include "kernels/core/error.h"
#include "kernels/cuda/device_views.h"

namespace psagen::kernels::cuda {

__device__ inline float widen(float value) { return value; }
__device__ inline float widen(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float widen(__half value) { return __half2float(value); }

template <typename T>
__device__ inline T narrow(float value) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return __float2bfloat16_rn(value);
  else if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(value);
  else
    return value;
}

// N consecutive elements, loaded and (to global memory) stored in accesses of up to 16 bytes; the
// address must be a multiple of the access.
template <typename T, int N>
struct alignas(sizeof(T) * N > 16 ? 16 : sizeof(T) * N) Pack {
  T values[N];
};

// To global memory, in whole accesses: left to itself the compiler stores some packs element by
// element (seen with nvcc 13.0 where stores of several types follow a branch).
template <typename T, int N>
__device__ inline void store_pack(const Pack<T, N>& pack, T* to) {
  constexpr int kAccess = alignof(Pack<T, N>);
  if constexpr (kAccess < 4) {
    *reinterpret_cast<Pack<T, N>*>(to) = pack;
  } else {
    using Word =
        std::conditional_t<kAccess == 16, uint4, std::conditional_t<kAccess == 8, uint2, unsigned>>;
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(pack) / sizeof(Word)); ++i)
      __stwb(reinterpret_cast<Word*>(to) + i, reinterpret_cast<const Word*>(&pack)[i]);
  }
}

template <int N, typename T>
__device__ inline void load_floats(const T* from, float (&to)[N]) {
  const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(from);
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = widen(pack.values[i]);
}

template <int N, typename T>
__device__ inline void store_floats(const float (&from)[N], T* to) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) pack.values[i] = narrow<T>(from[i]);
  store_pack(pack, to);
}

// Device: calls f with a value of the type that `dtype`, which must be real, stands for.
template <typename Function>
__device__ inline void for_real_type(DType dtype, Function&& f) {
  if (dtype == DType::kF32)
    f(float{});
  else if (dtype == DType::kBF16)
    f(__nv_bfloat16{});
  else
    f(__half{});
}

// Elements [index, index + N); their address must be a multiple of the access.
template <int N>
__device__ inline void load_reals(ConstReals from, std::int64_t index, float (&to)[N]) {
  for_real_type(from.dtype, [&](auto type) {
    load_floats<N>(static_cast<const decltype(type)*>(from.data) + index, to);
  });
}

template <int N>
__device__ inline void store_reals(const float (&from)[N], Reals to, std::int64_t index) {
  for_real_type(to.dtype, [&](auto type) {
    store_floats<N>(from, static_cast<decltype(type)*>(to.data) + index);
  });
}

// The activations end in the intrinsic quotient (two units in the last place of float32): the exact
// one has twice the instructions, and a norm of 16-bit elements with SiLU would wait for
// arithmetic. They saturate to 0 and x without a NaN on the way.
__device__ inline float silu(float x) { return __fdividef(x, 1.0f + expf(-x)); }

// 0.5 x (1 + tanh u) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
__device__ inline float gelu_tanh(float x) {
  constexpr double kLinear = -2.0 * 0.79788456080286536;
  const float slope =
      fmaf(x * x, static_cast<float>(kLinear * 0.044715), static_cast<float>(kLinear));
  return __fdividef(x, 1.0f + expf(x * slope));
}

// Host: calls f with a value of the device type that `dtype` stands for.
template <typename Function>
decltype(auto) with_real_type(DType dtype, Function&& f) {
  switch (dtype) {
    case DType::kBF16:
      return f(__nv_bfloat16{});
    case DType::kF16:
      return f(__half{});
    default:
      PSAGEN_CHECK(dtype == DType::kF32, ErrorCode::kInternal, "no kernel for ", dtype_name(dtype));
      return f(float{});
  }
}

// f(S{}, T{}): the types of queries and keys, and of values: one type, or F16 and BF16.
template <typename Function>
void with_real_types(DType scored, DType summed, Function&& f) {
  if (scored == DType::kF16 && summed == DType::kBF16) return f(__half{}, __nv_bfloat16{});
  PSAGEN_CHECK(scored == summed, ErrorCode::kUnsupported, "no kernel for queries and keys in ",
               dtype_name(scored), " and values in ", dtype_name(summed));
  with_real_type(scored, [&](auto type) { f(type, type); });
}

}  // namespace psagen::kernels::cuda
