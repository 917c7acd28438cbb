// The rows of each head by falling work, and how dense the head is. A thread places one row: it
// counts the rows of its head that come before. That is quadratic in the query blocks of a head,
// which read each other's work from L1 at the same time: 256 to 591 reads for the published models.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/psa/level_allocation.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kThreads = 256;

struct OrderParams {
  const RowWork* work;  // [heads, query blocks]
  std::int32_t* order;
  float* nominal_density;
  int query_blocks, key_blocks;
};

__global__ void __launch_bounds__(kThreads) order_kernel(const OrderParams p) {
  const int head = static_cast<int>(blockIdx.y);
  const RowWork* const rows = p.work + static_cast<std::int64_t>(head) * p.query_blocks;
  const int own = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  const std::int32_t columns = own < p.query_blocks ? rows[own].columns : 0;
  int before = 0;
  std::int64_t eighths = 0;
#pragma unroll 8
  for (int row = 0; row < p.query_blocks; ++row) {
    const RowWork other = rows[row];
    before += other.columns > columns || (other.columns == columns && row < own) ? 1 : 0;
    eighths += other.eighths;
  }
  if (p.order != nullptr && own < p.query_blocks)
    p.order[head * p.query_blocks + before] = head * p.query_blocks + own;
  if (p.nominal_density != nullptr && own == 0)
    p.nominal_density[head] = static_cast<float>(
        static_cast<double>(eighths) /
        (8.0 * static_cast<double>(static_cast<std::int64_t>(p.query_blocks) * p.key_blocks)));
}

}  // namespace

void order_rows(CudaRuntime& runtime, const SelectionShape& shape, const RowWork* work,
                std::int32_t* order, float* nominal_density) {
  if (order == nullptr && nominal_density == nullptr) return;
  const OrderParams p{work, order, nominal_density, shape.query_blocks, shape.key_blocks};
  const dim3 grid(static_cast<unsigned>((shape.query_blocks + kThreads - 1) / kThreads),
                  static_cast<unsigned>(shape.all_heads));
  order_kernel<<<grid, kThreads, 0, runtime.stream()>>>(p);
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
