// The rows of each head by falling work, and how dense the head is. Eight threads place one row:
// they count the rows of its head that come before. That is quadratic in the query blocks of a
// head, which read each other's work from L1: 32 to 74 reads a thread for the published models.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/psa/level_allocation.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLanes = 8;  // threads of a row
constexpr int kRowsOfBlock = kThreads / kLanes;

struct OrderParams {
  const RowWork* work;  // [heads, query blocks]
  std::int32_t* order;
  float* nominal_density;
  int query_blocks, key_blocks;
};

__global__ void __launch_bounds__(kThreads) order_kernel(const OrderParams p) {
  const int head = static_cast<int>(blockIdx.y);
  const RowWork* const rows = p.work + static_cast<std::int64_t>(head) * p.query_blocks;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int own =
      static_cast<int>(blockIdx.x) * kRowsOfBlock + static_cast<int>(threadIdx.x) / kLanes;
  const std::int32_t columns = own < p.query_blocks ? rows[own].columns : 0;
  int before = 0;
  std::int64_t eighths = 0;
#pragma unroll 8
  for (int row = lane; row < p.query_blocks; row += kLanes) {
    const RowWork other = rows[row];
    before += other.columns > columns || (other.columns == columns && row < own) ? 1 : 0;
    eighths += other.eighths;
  }
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2) {
    before += __shfl_xor_sync(0xffffffffu, before, step);
    eighths += __shfl_xor_sync(0xffffffffu, eighths, step);
  }
  if (lane != 0) return;
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
  const dim3 grid(static_cast<unsigned>((shape.query_blocks + kRowsOfBlock - 1) / kRowsOfBlock),
                  static_cast<unsigned>(shape.all_heads));
  order_kernel<<<grid, kThreads, 0, runtime.stream()>>>(p);
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
