// S = scale q k' as products into memory, rows of S to exp(S - max of the row), P v as products,
// each row divided by its sum. P is of the type of q, k and v and at most 1; the sums are float32,
// so no rounding is made twice. Scores and probabilities take at most kScoreBytes at a time: for a
// larger call some heads, or some queries of one head, come after each other.
#include <algorithm>
#include <limits>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/dense_attention/product_attention.h"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/rearrange.h"

namespace psagen::kernels::cuda {
namespace {

constexpr std::int64_t kScoreBytes = std::int64_t{256} << 20;
constexpr int kThreads = 256;

// One of heads and batches is gone through entry by entry by the products, `inner`; the other here.
struct Strides {
  std::int64_t outer = 0, inner = 0, row = 0;
};

// The rows of a chunk: `rows` queries of each of some entries.
struct SoftmaxParams {
  const float* scores = nullptr;
  std::int64_t pitch = 0;    // of scores and probabilities
  float* inverse = nullptr;  // [entries, rows]
  const float* bias = nullptr;
  const float* log_weight = nullptr;
  float* lse = nullptr;
  Strides bias_strides{}, weight_strides{}, lse_strides{};  // of the entries, and of queries
  int rows = 0, keys = 0;
};

__device__ inline float block_max(float value, float* scratch) {
  value = warp_max(value);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  float result = scratch[0];
#pragma unroll
  for (int i = 1; i < kThreads / 32; ++i) result = fmaxf(result, scratch[i]);
  __syncthreads();
  return result;
}

// A block a row: probabilities may be the memory of the scores.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    row_softmax_kernel(const SoftmaxParams params, T* probabilities) {
  __shared__ float scratch[kThreads / 32];
  const std::int64_t entry = blockIdx.x / params.rows, row = blockIdx.x % params.rows;
  const float* const scores = params.scores + blockIdx.x * params.pitch;
  T* const to = probabilities + blockIdx.x * params.pitch;
  const float* const bias =
      params.bias == nullptr
          ? nullptr
          : params.bias + entry * params.bias_strides.inner + row * params.bias_strides.row;
  const float* const weight = params.log_weight == nullptr
                                  ? nullptr
                                  : params.log_weight + entry * params.weight_strides.inner;
  const auto score = [&](int key) {
    float value = scores[key];
    if (bias != nullptr) value += bias[key];
    if (weight != nullptr) value += weight[key];
    return value;
  };

  const float none = -INFINITY;
  float max = none;
  for (int key = threadIdx.x; key < params.keys; key += kThreads) max = fmaxf(max, score(key));
  max = block_max(max, scratch);
  const float offset = max == none ? 0.0f : max;
  float sum = 0.0f;
  for (int key = threadIdx.x; key < params.keys; key += kThreads) {
    const float value = expf(score(key) - offset);
    sum += value;
    to[key] = narrow<T>(value);
  }
  sum = block_sum<kThreads>(sum, scratch);
  if (threadIdx.x != 0) return;
  params.inverse[blockIdx.x] = sum == 0.0f ? 0.0f : 1.0f / sum;
  if (params.lse != nullptr)
    params.lse[entry * params.lse_strides.inner + row * params.lse_strides.row] =
        sum == 0.0f ? none : max + logf(sum);
}

// out = sums * inverse, a block a row.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    divide_rows_kernel(const float* sums, const float* inverse, T* out, Strides strides, int rows,
                       int depth) {
  const std::int64_t entry = blockIdx.x / rows, row = blockIdx.x % rows;
  const float* const from = sums + static_cast<std::int64_t>(blockIdx.x) * depth;
  T* const to = out + entry * strides.inner + row * strides.row;
  const float factor = inverse[blockIdx.x];
  for (int i = threadIdx.x; i < depth; i += kThreads) to[i] = narrow<T>(from[i] * factor);
}

// Rows of one head that a product can take: of type `dtype`, unit-stride, not lying over each
// other. What is not like that is copied.
ConstTensorView as_operand(CudaRuntime& runtime, Workspace::Scope& scope,
                           const ConstTensorView& view, DType dtype) {
  const bool separate = view.dim(1) <= 1 || view.stride(1) >= view.dim(3);
  if (view.dtype() == dtype && separate) return view;
  auto* const bytes =
      scope.take<std::byte>(static_cast<std::size_t>(view.num_elements()) * dtype_size(dtype));
  const TensorView packed(bytes, dtype, view.shape(), view.device());
  copy_on_device(runtime.stream(), view, packed);
  return packed;
}

template <typename Byte>
Byte* at(const BasicTensorView<Byte>& view, std::int64_t offset) {
  return view.bytes() + offset * static_cast<std::int64_t>(dtype_size(view.dtype()));
}

class ProductAttention {
 public:
  ProductAttention(CudaRuntime& runtime, Workspace& workspace, LinearPlans& plans,
                   const AttentionArgs& args)
      : runtime_(runtime),
        workspace_(workspace),
        plans_(plans),
        scope_(workspace),
        args_(args),
        inner_axis_(args.q.dim(2) > 1 ? 2 : 0),
        outer_axis_(2 - inner_axis_),
        rows_(args.q.dim(1)),
        keys_(args.k.dim(1)),
        depth_(args.q.dim(3)),
        pitch_((keys_ + 7) / 8 * 8) {
    const bool alike = args.q.dtype() == args.k.dtype() && args.q.dtype() == args.v.dtype();
    dtype_ = alike ? args.q.dtype() : DType::kF32;
    q_ = as_operand(runtime, scope_, args.q, dtype_);
    k_ = as_operand(runtime, scope_, args.k, dtype_);
    v_ = as_operand(runtime, scope_, args.v, dtype_);
  }

  void run() {
    const std::int64_t inner = args_.q.dim(inner_axis_);
    const bool in_place = dtype_ == DType::kF32;
    const std::int64_t row_bytes =
        pitch_ * static_cast<std::int64_t>(in_place ? 4 : 4 + dtype_size(dtype_)) + depth_ * 4 + 4;
    const std::int64_t budget = std::max<std::int64_t>(kScoreBytes / row_bytes, 1);
    const std::int64_t entries = std::clamp<std::int64_t>(budget / rows_, 1, inner);
    const std::int64_t rows = std::min(rows_, entries == 1 ? even_part(budget) : rows_);
    const auto count = static_cast<std::size_t>(entries * rows);
    scores_ = scope_.take<float>(count * static_cast<std::size_t>(pitch_));
    probabilities_ =
        in_place
            ? reinterpret_cast<std::byte*>(scores_)
            : scope_.take<std::byte>(count * static_cast<std::size_t>(pitch_) * dtype_size(dtype_));
    sums_ = scope_.take<float>(count * static_cast<std::size_t>(depth_));
    inverse_ = scope_.take<float>(count);
    for (std::int64_t outer = 0; outer < args_.q.dim(outer_axis_); ++outer)
      for (std::int64_t entry = 0; entry < inner; entry += entries)
        for (std::int64_t row = 0; row < rows_; row += rows)
          attend(
              {outer, entry, std::min(entries, inner - entry), row, std::min(rows, rows_ - row)});
  }

 private:
  struct Chunk {
    std::int64_t outer, entry, entries, row, rows;
  };

  // Parts of one head as even as can be, in whole tiles of the products.
  std::int64_t even_part(std::int64_t most) const {
    const std::int64_t parts = (rows_ + most - 1) / most;
    const std::int64_t part = (rows_ + parts - 1) / parts;
    return most < 128 ? part : std::min((part + 127) / 128 * 128, most);
  }

  Strides strides_of(const ConstTensorView& view) const {
    return {view.stride(outer_axis_), view.stride(inner_axis_),
            view.dim(1) > 1 ? view.stride(1) : depth_};
  }
  // Of a tensor that has its heads, or its batches, in one dimension and not the other.
  Strides strides_along(int axis, std::int64_t stride, std::int64_t row) const {
    return {axis == outer_axis_ ? stride : 0, axis == inner_axis_ ? stride : 0, row};
  }

  void attend(const Chunk& chunk) {
    const auto offset = [&](const Strides& strides, std::int64_t row) {
      return chunk.outer * strides.outer + chunk.entry * strides.inner + row * strides.row;
    };
    const Strides q = strides_of(q_), k = strides_of(k_), v = strides_of(v_);
    batched_product(runtime_, workspace_, plans_,
                    {.dtype = dtype_,
                     .c_dtype = DType::kF32,
                     .m = chunk.rows,
                     .n = keys_,
                     .k = depth_,
                     .transpose_b = true,
                     .alpha = args_.scale,
                     .a = at(q_, offset(q, chunk.row)),
                     .b = at(k_, offset(k, 0)),
                     .c = scores_,
                     .lda = q.row,
                     .ldb = k.row,
                     .ldc = pitch_,
                     .count = chunk.entries,
                     .stride_a = q.inner,
                     .stride_b = k.inner,
                     .stride_c = chunk.rows * pitch_});
    softmax(chunk);
    batched_product(runtime_, workspace_, plans_,
                    {.dtype = dtype_,
                     .c_dtype = DType::kF32,
                     .m = chunk.rows,
                     .n = depth_,
                     .k = keys_,
                     .a = probabilities_,
                     .b = at(v_, offset(v, 0)),
                     .c = sums_,
                     .lda = pitch_,
                     .ldb = v.row,
                     .ldc = depth_,
                     .count = chunk.entries,
                     .stride_a = chunk.rows * pitch_,
                     .stride_b = v.inner,
                     .stride_c = chunk.rows * depth_});
    const Strides out = strides_of(args_.out);
    with_real_type(args_.out.dtype(), [&](auto zero) {
      using T = decltype(zero);
      divide_rows_kernel<T><<<blocks(chunk), kThreads, 0, runtime_.stream()>>>(
          sums_, inverse_, reinterpret_cast<T*>(at(args_.out, offset(out, chunk.row))), out,
          static_cast<int>(chunk.rows), static_cast<int>(depth_));
    });
    PSAGEN_CUDA(cudaGetLastError());
  }

  void softmax(const Chunk& chunk) {
    const auto offset = [&](const Strides& strides) {
      return chunk.outer * strides.outer + chunk.entry * strides.inner + chunk.row * strides.row;
    };
    SoftmaxParams params{.scores = scores_,
                         .pitch = pitch_,
                         .inverse = inverse_,
                         .rows = static_cast<int>(chunk.rows),
                         .keys = static_cast<int>(keys_)};
    if (args_.bias) {
      params.bias_strides = strides_along(2, args_.bias.stride(0), args_.bias.stride(1));
      params.bias = args_.bias.data<float>() + offset(params.bias_strides);
    }
    if (args_.key_log_weight) {
      params.weight_strides = strides_along(0, args_.key_log_weight.stride(0), 0);
      params.log_weight = args_.key_log_weight.data<float>() + offset(params.weight_strides);
    }
    if (args_.lse) {
      const int outer = outer_axis_ == 0 ? 0 : 1;
      params.lse_strides = {args_.lse.stride(outer), args_.lse.stride(1 - outer),
                            args_.lse.stride(2)};
      params.lse = args_.lse.data<float>() + offset(params.lse_strides);
    }
    with_real_type(dtype_, [&](auto zero) {
      using T = decltype(zero);
      row_softmax_kernel<T><<<blocks(chunk), kThreads, 0, runtime_.stream()>>>(
          params, reinterpret_cast<T*>(probabilities_));
    });
    PSAGEN_CUDA(cudaGetLastError());
  }

  static unsigned blocks(const Chunk& chunk) {
    return static_cast<unsigned>(chunk.entries * chunk.rows);
  }

  CudaRuntime& runtime_;
  Workspace& workspace_;
  LinearPlans& plans_;
  Workspace::Scope scope_;
  const AttentionArgs& args_;
  int inner_axis_, outer_axis_;
  std::int64_t rows_, keys_, depth_, pitch_;
  DType dtype_ = DType::kF32;
  ConstTensorView q_, k_, v_;
  float* scores_ = nullptr;
  std::byte* probabilities_ = nullptr;
  float* sums_ = nullptr;
  float* inverse_ = nullptr;
};

}  // namespace

void product_attention(CudaRuntime& runtime, Workspace& workspace, LinearPlans& plans,
                       const AttentionArgs& args) {
  PSAGEN_CHECK(args.k.dim(1) <= std::numeric_limits<int>::max(), ErrorCode::kUnsupported,
               "attention: k is ", args.k.shape(), ", too long for this device");
  ProductAttention(runtime, workspace, plans, args).run();
}

}  // namespace psagen::kernels::cuda
