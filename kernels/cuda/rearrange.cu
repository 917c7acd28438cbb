// Copies that change layout, type or device.
//
// A copy is a loop over at most six dimensions, sorted so that y's smallest step comes last and
// merged as far as both tensors' strides allow. Three ways, by what that leaves:
//   one run on both sides, one type     the driver's copy
//   unit step in one dimension on both  chunks of 16 bytes, where the strides allow them
//   unit step in one dimension of x and in another of y (channels first <-> channels last)
//                                       tiles through shared memory, read and written in lines
// and element by element for the rest. Bytes that must move: each element's on both sides.
#include "kernels/cuda/rearrange.h"

#include <algorithm>
#include <cstdlib>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/numeric.cuh"

namespace psagen::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 32, kTileRows = 8;  // of a tile, a block reads 8 lines of 32 at a time

// Whole quotients of numbers below 2^31 by a divisor fixed for a launch: a product and a shift.
struct Divider {
  std::uint32_t divisor = 1, multiplier = 1, shift = 0;

  Divider() = default;
  explicit Divider(std::uint32_t d) : divisor(d) {
    while ((std::uint64_t{1} << shift) < d) ++shift;
    multiplier = static_cast<std::uint32_t>(
        (std::uint64_t{1} << 32) * ((std::uint64_t{1} << shift) - d) / d + 1);
  }
  __device__ std::uint32_t quotient(std::uint32_t n) const {
    return (__umulhi(n, multiplier) + n) >> shift;
  }
};

struct CopyDim {
  std::int64_t size = 1, x = 0, y = 0;  // steps in elements
};

// The dimensions of a copy, y's smallest step last.
struct CopyPlan {
  int rank = 0;
  CopyDim dims[Shape::kMaxRank];

  std::int64_t num_elements() const {
    std::int64_t count = 1;
    for (int i = 0; i < rank; ++i) count *= dims[i].size;
    return count;
  }
  // Whether both sides can be had in chunks of `chunk` elements along the last dimension.
  bool allows_chunks(int chunk) const {
    bool result =
        dims[rank - 1].x == 1 && dims[rank - 1].y == 1 && dims[rank - 1].size % chunk == 0;
    for (int i = 0; i + 1 < rank; ++i)
      result = result && dims[i].x % chunk == 0 && dims[i].y % chunk == 0;
    return result;
  }
};

CopyPlan plan_copy(const ConstTensorView& x, const TensorView& y) {
  CopyPlan plan;
  for (int i = 0; i < x.rank(); ++i)
    if (x.dim(i) > 1) plan.dims[plan.rank++] = {x.dim(i), x.stride(i), y.stride(i)};
  if (plan.rank == 0) plan.dims[plan.rank++] = {1, 1, 1};
  std::stable_sort(plan.dims, plan.dims + plan.rank, [](const CopyDim& a, const CopyDim& b) {
    return std::abs(a.y) > std::abs(b.y);
  });
  int merged = 0;
  for (int i = 1; i < plan.rank; ++i) {
    CopyDim& outer = plan.dims[merged];
    const CopyDim& inner = plan.dims[i];
    if (outer.x == inner.x * inner.size && outer.y == inner.y * inner.size)
      outer = {outer.size * inner.size, inner.x, inner.y};
    else
      plan.dims[++merged] = inner;
  }
  plan.rank = merged + 1;
  return plan;
}

template <typename To, typename From>
__device__ To converted(From value) {
  if constexpr (std::is_same_v<To, From>)
    return value;
  else
    return narrow<To>(widen(value));
}

// The offsets of the index-th element of some dimensions in row-major order.
struct Unravel {
  int rank = 0;
  Divider size[Shape::kMaxRank];
  std::int64_t x[Shape::kMaxRank], y[Shape::kMaxRank];

  void push_back(std::int64_t dim_size, std::int64_t x_step, std::int64_t y_step) {
    size[rank] = Divider(static_cast<std::uint32_t>(dim_size));
    x[rank] = x_step;
    y[rank] = y_step;
    ++rank;
  }
  __device__ void offsets(std::uint32_t index, std::int64_t& of_x, std::int64_t& of_y) const {
#pragma unroll
    for (int i = Shape::kMaxRank - 1; i >= 0; --i) {
      if (i >= rank) continue;
      const std::uint32_t rest = i == 0 ? 0 : size[i].quotient(index);
      const std::uint32_t at = index - rest * size[i].divisor;
      of_x += at * x[i];
      of_y += at * y[i];
      index = rest;
    }
  }
};

template <typename From, typename To, int kChunk>
__global__ void __launch_bounds__(kThreads)
    copy_chunks_kernel(const Unravel chunks, std::uint32_t count, const From* x, To* y) {
  const std::uint32_t index = blockIdx.x * kThreads + threadIdx.x;
  if (index >= count) return;
  std::int64_t from = 0, to = 0;
  chunks.offsets(index, from, to);
  const auto in = *reinterpret_cast<const Pack<From, kChunk>*>(x + from);
  Pack<To, kChunk> out;
#pragma unroll
  for (int i = 0; i < kChunk; ++i) out.values[i] = converted<To>(in.values[i]);
  store_pack(out, y + to);
}

// Dimension a has unit step in x, dimension b in y.
struct TileCopy {
  Unravel others;
  std::int64_t a_size, b_size;
  std::int64_t x_step_of_b, y_step_of_a;
  std::uint32_t a_tiles, b_tiles;
};

template <typename From, typename To>
__global__ void __launch_bounds__(kTile* kTileRows)
    copy_tiles_kernel(const TileCopy p, const From* x, To* y) {
  __shared__ From tile[kTile][kTile + 1];
  const std::uint32_t b_tile = blockIdx.x % p.b_tiles;
  const std::uint32_t a_tile = blockIdx.x / p.b_tiles % p.a_tiles;
  std::int64_t from = 0, to = 0;
  p.others.offsets(blockIdx.x / p.b_tiles / p.a_tiles, from, to);
  const std::int64_t a_first = static_cast<std::int64_t>(a_tile) * kTile;
  const std::int64_t b_first = static_cast<std::int64_t>(b_tile) * kTile;
  const int column = static_cast<int>(threadIdx.x) % kTile;
  for (int row = static_cast<int>(threadIdx.x) / kTile; row < kTile; row += kTileRows) {
    const std::int64_t a = a_first + column, b = b_first + row;
    if (a < p.a_size && b < p.b_size) tile[row][column] = x[from + a + b * p.x_step_of_b];
  }
  __syncthreads();
  for (int row = static_cast<int>(threadIdx.x) / kTile; row < kTile; row += kTileRows) {
    const std::int64_t a = a_first + row, b = b_first + column;
    if (a < p.a_size && b < p.b_size)
      y[to + b + a * p.y_step_of_a] = converted<To>(tile[column][row]);
  }
}

template <typename From, typename To, int kChunk>
void launch_chunks(cudaStream_t stream, const CopyPlan& plan, const From* x, To* y) {
  Unravel chunks;
  for (int i = 0; i < plan.rank; ++i) {
    const CopyDim& dim = plan.dims[i];
    const std::int64_t chunk = i + 1 == plan.rank ? kChunk : 1;
    chunks.push_back(dim.size / chunk, dim.x * chunk, dim.y * chunk);
  }
  const auto count = static_cast<std::uint32_t>(plan.num_elements() / kChunk);
  const unsigned blocks = (count + kThreads - 1) / kThreads;
  copy_chunks_kernel<From, To, kChunk><<<blocks, kThreads, 0, stream>>>(chunks, count, x, y);
  PSAGEN_CUDA(cudaGetLastError());
}

// Dimension `a` of the plan has unit step in x, the last one in y.
template <typename From, typename To>
void launch_tiles(cudaStream_t stream, const CopyPlan& plan, int a, const From* x, To* y) {
  TileCopy p{};
  const CopyDim& b = plan.dims[plan.rank - 1];
  std::int64_t tiles = 1;
  for (int i = 0; i + 1 < plan.rank; ++i) {
    if (i == a) continue;
    p.others.push_back(plan.dims[i].size, plan.dims[i].x, plan.dims[i].y);
    tiles *= plan.dims[i].size;
  }
  p.a_size = plan.dims[a].size;
  p.b_size = b.size;
  p.x_step_of_b = b.x;
  p.y_step_of_a = plan.dims[a].y;
  p.a_tiles = static_cast<std::uint32_t>((p.a_size + kTile - 1) / kTile);
  p.b_tiles = static_cast<std::uint32_t>((p.b_size + kTile - 1) / kTile);
  tiles *= static_cast<std::int64_t>(p.a_tiles) * p.b_tiles;
  copy_tiles_kernel<<<static_cast<unsigned>(tiles), kTile * kTileRows, 0, stream>>>(p, x, y);
  PSAGEN_CUDA(cudaGetLastError());
}

template <typename T>
bool is_aligned(const T* pointer, int chunk) {
  const std::uintptr_t access = std::min<std::uintptr_t>(16, chunk * sizeof(T));
  return reinterpret_cast<std::uintptr_t>(pointer) % access == 0;
}

template <typename From, typename To>
void copy_as(cudaStream_t stream, const CopyPlan& plan, const From* x, To* y) {
  constexpr std::int64_t kMostElements = std::int64_t{1} << 30;  // what a Divider counts, in halves
  if (plan.num_elements() > kMostElements) {
    int largest = 0;
    for (int i = 1; i < plan.rank; ++i)
      if (plan.dims[i].size > plan.dims[largest].size) largest = i;
    CopyPlan half = plan;
    CopyDim& dim = half.dims[largest];
    const std::int64_t size = dim.size, first = (size / 2 + 15) / 16 * 16;
    dim.size = first;
    copy_as(stream, half, x, y);
    dim.size = size - first;
    return copy_as(stream, half, x + first * dim.x, y + first * dim.y);
  }
  constexpr int kChunk = std::is_same_v<From, To> ? 16 / static_cast<int>(sizeof(From)) : 8;
  if (plan.allows_chunks(kChunk) && is_aligned(x, kChunk) && is_aligned(y, kChunk))
    return launch_chunks<From, To, kChunk>(stream, plan, x, y);
  const CopyDim& last = plan.dims[plan.rank - 1];
  constexpr std::int64_t kFewForATile = 4;
  for (int a = 0; a + 1 < plan.rank; ++a)
    if (plan.dims[a].x == 1 && last.y == 1 && last.x != 1 && plan.dims[a].size >= kFewForATile &&
        last.size >= kFewForATile)
      return launch_tiles(stream, plan, a, x, y);
  launch_chunks<From, To, 1>(stream, plan, x, y);
}

template <typename T>
void copy_bits(cudaStream_t stream, const CopyPlan& plan, const ConstTensorView& x,
               const TensorView& y) {
  copy_as(stream, plan, reinterpret_cast<const T*>(x.bytes()), reinterpret_cast<T*>(y.bytes()));
}

void download(CudaRuntime& runtime, ConstTensorView x, const TensorView& y) {
  Tensor packed;
  if (x.dtype() != y.dtype() || !x.is_contiguous()) {
    packed = Tensor(runtime.allocator(), y.dtype(), y.shape());
    copy_on_device(runtime.stream(), x, packed);
    x = packed;
  }
  PSAGEN_CUDA(cudaMemcpyAsync(y.bytes(), x.bytes(), y.num_bytes(), cudaMemcpyDeviceToHost,
                              runtime.stream()));
  PSAGEN_CUDA(cudaStreamSynchronize(runtime.stream()));
}

}  // namespace

void copy_on_device(cudaStream_t stream, ConstTensorView x, TensorView y) {
  if (x.num_elements() == 0) return;
  const CopyPlan plan = plan_copy(x, y);
  if (x.dtype() != y.dtype()) {
    return with_real_type(x.dtype(), [&](auto from) {
      with_real_type(y.dtype(), [&](auto to) {
        if constexpr (!std::is_same_v<decltype(from), decltype(to)>)
          copy_as(stream, plan, reinterpret_cast<const decltype(from)*>(x.bytes()),
                  reinterpret_cast<decltype(to)*>(y.bytes()));
      });
    });
  }
  if (plan.rank == 1 && plan.dims[0].x == 1 && plan.dims[0].y == 1) {
    if (x.bytes() == y.bytes()) return;
    PSAGEN_CUDA(
        cudaMemcpyAsync(y.bytes(), x.bytes(), x.num_bytes(), cudaMemcpyDeviceToDevice, stream));
    return;
  }
  switch (dtype_size(x.dtype())) {
    case 1:
      return copy_bits<std::uint8_t>(stream, plan, x, y);
    case 2:
      return copy_bits<std::uint16_t>(stream, plan, x, y);
    case 4:
      return copy_bits<std::uint32_t>(stream, plan, x, y);
    default:
      return copy_bits<std::uint64_t>(stream, plan, x, y);
  }
}

void copy(CudaRuntime& runtime, ConstTensorView x, TensorView y) {
  const bool from_host = x.device().kind == DeviceKind::kCpu;
  const bool to_host = y.device().kind == DeviceKind::kCpu;
  PSAGEN_CHECK(!from_host || !to_host, ErrorCode::kInvalidArgument,
               "copy: x and y are both host memory, wanted one of them on the GPU");
  if (x.num_elements() == 0) return;
  if (from_host) return runtime.upload(x, y);
  if (to_host) return download(runtime, x, y);
  copy_on_device(runtime.stream(), x, y);
}

}  // namespace psagen::kernels::cuda
