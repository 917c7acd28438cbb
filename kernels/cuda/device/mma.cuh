// Matrix products of one warp (mma.sync, sm_80 and later) and the fragments they take.
//
// Who holds what of an m16n8k16 product, with g = lane / 4 and t = lane % 4:
//   a[0] rows g,     columns 2t, 2t + 1        b0 rows 2t, 2t + 1        of column g
//   a[1] rows g + 8, columns 2t, 2t + 1        b1 rows 2t + 8, 2t + 9    of column g
//   a[2] rows g,     columns 2t + 8, 2t + 9    c[0], c[1] row g,     columns 2t, 2t + 1
//   a[3] rows g + 8, columns 2t + 8, 2t + 9    c[2], c[3] row g + 8, columns 2t, 2t + 1
// So two neighbouring c become one a by conversion alone. wgmma leaves its sums in the same places.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace psagen::kernels::cuda {

// How PTX spells the 16-bit types.
template <typename T>
struct PtxName;
template <>
struct PtxName<__nv_bfloat16> {
  static constexpr char kText[] = "bf16";
};
template <>
struct PtxName<__half> {
  static constexpr char kText[] = "f16";
};

// Two values rounded to T, `low` in the lower half.
template <typename T>
__device__ inline std::uint32_t pack_pair(float low, float high) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const std::uint32_t*>(&pair);
  } else {
    const __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<const std::uint32_t*>(&pair);
  }
}

// Four 8 x 8 matrices of 16-bit values; lane l gives the address of row l % 8 of matrix l / 8.
// Thread gets of each the two values (g, 2t), (g, 2t + 1), or transposed (2t, g), (2t + 1, g).
__device__ inline void load_matrices(std::uint32_t (&to)[4], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

__device__ inline void load_matrices_transposed(std::uint32_t (&to)[4], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

// sums += a b; a [16, 16] by rows, b [16, 8] by columns.
template <typename T>
__device__ inline void multiply_add(float* sums, const std::uint32_t* a, std::uint32_t b0,
                                    std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.%10.%10.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "C"(PtxName<T>::kText));
}

}  // namespace psagen::kernels::cuda
