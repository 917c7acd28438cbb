// A team that sorts rows of any length by their keys' bits. What it has is told in
// bitonic_team.cuh.
#pragma once

#include <cub/block/block_radix_sort.cuh>

#include "kernels/cuda/psa/row_team.cuh"

namespace psagen::kernels::cuda {

template <int kThreads, int kItems_>
struct RadixTeam : RowTeam<kThreads> {
  static constexpr int kItems = kItems_;
  using Team = RowTeam<kThreads>;
  using Sort = cub::BlockRadixSort<std::uint32_t, kThreads, kItems, std::uint16_t>;
  struct Shared : Team::Scratch {
    typename Sort::TempStorage sort;
  };

  // Neighbours: the sort is stable.
  static __device__ int block_of(int item) { return Team::index() * kItems + item; }
  static __device__ void sort(std::uint32_t (&keys)[kItems], std::uint16_t (&blocks)[kItems],
                              int /*count*/, Shared& shared) {
    Sort(shared.sort).SortDescending(keys, blocks, 0, 31);
    __syncthreads();
  }
};

}  // namespace psagen::kernels::cuda
