// Ops without sums: they cost what they move. Bytes for each element: the sizes of what is read and
// of what is written.
#include "kernels/cuda/elementwise.h"

#include <array>

#include "kernels/cuda/device/activation.cuh"
#include "kernels/cuda/device/element_rows.cuh"

namespace psagen::kernels::cuda {
namespace {

// A tensor as the ops below take it.
struct ConstRows {
  ConstReals values;
  RowShape rows;

  template <int N>
  __device__ void load(std::int64_t row, std::int64_t i, float (&to)[N]) const {
    load_reals<N>(values, rows.offset(row) + i, to);
  }
};
struct Rows {
  Reals values;
  RowShape rows;

  template <int N>
  __device__ void store(const float (&from)[N], std::int64_t row, std::int64_t i) const {
    store_reals<N>(from, values, rows.offset(row) + i);
  }
};

ConstRows const_rows(const ElementRows& elements, const ConstTensorView& view) {
  return {reals(view), elements.shape(view)};
}
Rows rows(const ElementRows& elements, const TensorView& view) {
  return {reals(view), elements.shape(view)};
}

struct ActivateOp {
  ConstRows x;
  Activation activation;
  Rows y;

  template <int N>
  __device__ void apply(std::int64_t row, std::int64_t i) const {
    float values[N];
    x.load(row, i, values);
#pragma unroll
    for (int j = 0; j < N; ++j) values[j] = activated(values[j], activation);
    y.store(values, row, i);
  }
};

struct GeluGateOp {
  ConstRows gate, up;
  Rows y;

  template <int N>
  __device__ void apply(std::int64_t row, std::int64_t i) const {
    float gates[N], values[N];
    gate.load(row, i, gates);
    up.load(row, i, values);
#pragma unroll
    for (int j = 0; j < N; ++j) values[j] *= gelu_tanh(gates[j]);
    y.store(values, row, i);
  }
};

// Summed in double, as on the CPU: every step of a solver goes through here.
struct CombinationOp {
  static constexpr int kMaxTerms = 8;

  double coefficients[kMaxTerms];
  ConstRows terms[kMaxTerms];
  int count;
  Rows y;

  template <int N>
  __device__ void apply(std::int64_t row, std::int64_t i) const {
    double sums[N] = {};
    for (int term = 0; term < count; ++term) {
      float values[N];
      terms[term].load(row, i, values);
#pragma unroll
      for (int j = 0; j < N; ++j) sums[j] += coefficients[term] * static_cast<double>(values[j]);
    }
    float result[N];
#pragma unroll
    for (int j = 0; j < N; ++j) result[j] = static_cast<float>(sums[j]);
    y.store(result, row, i);
  }
};

struct Rgb8Op {
  ConstRows x;
  std::uint8_t* rgb;

  template <int N>
  __device__ void apply(std::int64_t row, std::int64_t i) const {
    float values[N];
    x.load(row, i, values);
    Pack<std::uint8_t, N> levels;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float inside = fminf(fmaxf(values[j], -1.0f), 1.0f);
      levels.values[j] = static_cast<std::uint8_t>(__float2int_rn((inside + 1.0f) * 127.5f));
    }
    store_pack(levels, rgb + i);
  }
};

// As many ids as travel with a launch: they need no memory of their own, and the caller may change
// his at once.
constexpr int kIdsOfLaunch = 512;

struct EmbeddingParams {
  std::int32_t ids[kIdsOfLaunch];
  ConstReals table;
  std::int64_t width;
  Reals y;
  std::int64_t y_stride;
};

// A block for each id.
template <int kChunk>
__global__ void __launch_bounds__(kElementThreads) embedding_kernel(const EmbeddingParams p) {
  const std::int64_t from = p.ids[blockIdx.x] * p.width;
  const std::int64_t to = blockIdx.x * p.y_stride;
  for (std::int64_t i = threadIdx.x * kChunk; i < p.width; i += kElementThreads * kChunk) {
    float values[kChunk];
    load_reals<kChunk>(p.table, from + i, values);
    store_reals<kChunk>(values, p.y, to + i);
  }
}

}  // namespace

void gelu_gate(CudaRuntime& runtime, const GeluGateArgs& args) {
  const std::array<ConstTensorView, 3> views = {args.gate, args.up, args.y};
  const ElementRows elements(views);
  const GeluGateOp op{const_rows(elements, args.gate), const_rows(elements, args.up),
                      rows(elements, args.y)};
  launch_elements(runtime, op, op.y.rows, elements.aligned());
}

void activate(CudaRuntime& runtime, ConstTensorView x, Activation activation, TensorView y) {
  const std::array<ConstTensorView, 2> views = {x, y};
  const ElementRows elements(views);
  const ActivateOp op{const_rows(elements, x), activation, rows(elements, y)};
  launch_elements(runtime, op, op.y.rows, elements.aligned());
}

void embedding(CudaRuntime& runtime, Workspace&, const EmbeddingArgs& args) {
  const RowShape y_rows = joined_row_shape(args.y);
  const std::int64_t row_bytes =
      y_rows.row_stride * static_cast<std::int64_t>(dtype_size(args.y.dtype()));
  const bool aligned = y_rows.width % ElementRows::kChunk == 0 &&
                       has_aligned_chunks(args.table, row_shape(args.table), ElementRows::kChunk) &&
                       has_aligned_chunks(args.y, y_rows, ElementRows::kChunk);
  for (std::size_t first = 0; first < args.ids.size() && y_rows.width > 0; first += kIdsOfLaunch) {
    EmbeddingParams p{};
    const auto ids =
        args.ids.subspan(first, std::min<std::size_t>(kIdsOfLaunch, args.ids.size() - first));
    std::copy(ids.begin(), ids.end(), p.ids);
    p.table = reals(args.table);
    p.width = y_rows.width;
    p.y = {args.y.bytes() + static_cast<std::int64_t>(first) * row_bytes, args.y.dtype()};
    p.y_stride = y_rows.row_stride;
    const auto blocks = static_cast<unsigned>(ids.size());
    if (aligned)
      embedding_kernel<ElementRows::kChunk><<<blocks, kElementThreads, 0, runtime.stream()>>>(p);
    else
      embedding_kernel<1><<<blocks, kElementThreads, 0, runtime.stream()>>>(p);
    PSAGEN_CUDA(cudaGetLastError());
  }
}

void linear_combination(CudaRuntime& runtime, std::span<const LinearTerm> terms, TensorView y) {
  constexpr std::size_t kMaxTerms = CombinationOp::kMaxTerms;
  PSAGEN_CHECK(terms.size() <= kMaxTerms, ErrorCode::kUnsupported,
               "linear_combination: ", terms.size(), " terms, wanted at most ", kMaxTerms);
  std::array<ConstTensorView, kMaxTerms + 1> views;
  views[0] = y;
  for (std::size_t i = 0; i < terms.size(); ++i) views[i + 1] = terms[i].x;
  const std::span<const ConstTensorView> given(views.data(), terms.size() + 1);
  const ElementRows elements(given);
  CombinationOp op{};
  for (const LinearTerm& term : terms) {
    // Zero times whatever is there, a NaN too, is nothing.
    if (term.coefficient == 0.0) continue;
    op.coefficients[op.count] = term.coefficient;
    op.terms[op.count++] = const_rows(elements, term.x);
  }
  op.y = rows(elements, y);
  launch_elements(runtime, op, op.y.rows, elements.aligned());
}

void to_rgb8(CudaRuntime& runtime, const ToRgb8Args& args) {
  const std::array<ConstTensorView, 2> views = {args.x, args.rgb};
  const ElementRows elements(views);
  const Rgb8Op op{const_rows(elements, args.x), args.rgb.data<std::uint8_t>()};
  launch_elements(runtime, op, op.x.rows, elements.aligned());
}

}  // namespace psagen::kernels::cuda
