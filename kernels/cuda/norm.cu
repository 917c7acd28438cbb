// RMS and layer norm of rows; formulas in kernels/ops.h.
//
// A row is read into the registers of one warp (up to 1536 elements) or of a block (up to 8192), so
// memory is passed over once: statistics, the centred variance among them, come from registers.
// Wider rows are read three times. Bytes that must move, for rows of C elements:
//   rms_norm        C (size of x + size of y)
//   layer_norm      C (size of x + size of y)
//   residual_norm   C (2 * size of x + size of y + size of h): 12 C for a float32 stream with
//   16-bit
//                   y and h
// Parameters come from the caches: rows of a batch share them.
#include "kernels/cuda/norm.h"

#include "kernels/cuda/device/row_launch.cuh"

namespace psagen::kernels::cuda {
namespace {

struct RmsNormParams {
  ConstReals x;
  RowShape x_rows;
  ConstReals gamma;
  float eps;
  int rows, width;
  Reals y;
  RowShape y_rows;
};

template <typename Traits>
__global__ void __launch_bounds__(Traits::kBlock, blocks_at_once(Traits::kBlock, 1))
    rms_norm_kernel(const RmsNormParams p) {
  constexpr int kElements = Traits::kElements;
  __shared__ float scratch[Traits::kBlock / 32];
  const RowThread<Traits> thread;
  if (thread.row >= p.rows) return;
  RowPart<Traits> part(thread.lane, p.width);
  part.load(p.x, p.x_rows.offset(thread.row));
  const float squares =
      group_sum<Traits::kThreads>(part.sum([](float v) { return v * v; }), scratch);
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(p.width) + p.eps);
  const std::int64_t first = p.y_rows.offset(thread.row);
  for_real_type(p.y.dtype, [&](auto type) {
    auto* const y = static_cast<decltype(type)*>(p.y.data) + first;
    part.each([&](int i, float(&values)[kElements]) {
      float gamma[kElements];
      load_parameter<Traits>(p.gamma, i, gamma);
#pragma unroll
      for (int j = 0; j < kElements; ++j) values[j] = values[j] * factor * gamma[j];
      store_chunk<Traits::kAligned>(values, y + i);
    });
  });
}

// A row of parameters for each batch.
struct BatchRow {
  ConstReals values;
  std::int64_t stride = 0;
};

struct LayerNormParams {
  Reals x;  // written only where there is a residual
  RowShape x_rows;
  ConstReals y;
  RowShape y_rows;
  BatchRow gate;
  ConstReals gamma, beta;
  BatchRow scale, shift;
  float eps;
  int rows, width;
  Reals h;
  RowShape h_rows;
  std::int32_t* nonfinite;  // null: not wanted

  // Parameters are of batch `batch` from here on.
  __device__ void move_to_batch(int batch) {
    gate.stride *= batch;
    scale.stride *= batch;
    shift.stride *= batch;
  }
};

// ((v - mean) / deviation * gamma + beta) * (1 + scale) + shift
template <typename Traits>
__device__ void normalise(const LayerNormParams& p, int i, float mean, float factor,
                          float (&values)[Traits::kElements]) {
  constexpr int kElements = Traits::kElements;
  float a[kElements], b[kElements];
#pragma unroll
  for (int j = 0; j < kElements; ++j) values[j] = (values[j] - mean) * factor;
  if (p.gamma.data != nullptr) {
    load_parameter<Traits>(p.gamma, i, a);
    load_parameter<Traits>(p.beta, i, b);
#pragma unroll
    for (int j = 0; j < kElements; ++j) values[j] = fmaf(values[j], a[j], b[j]);
  }
  if (p.scale.values.data != nullptr) {
    load_parameter<Traits>(p.scale.values, p.scale.stride + i, a);
    load_parameter<Traits>(p.shift.values, p.shift.stride + i, b);
#pragma unroll
    for (int j = 0; j < kElements; ++j) values[j] = fmaf(values[j], 1.0f + a[j], b[j]);
  }
}

// x = x + gate * y, in `part` and in memory.
template <typename Traits>
__device__ void add_residual(const LayerNormParams& p, int row, int lane, RowPart<Traits>& part) {
  constexpr int kElements = Traits::kElements;
  RowPart<Traits> change(lane, p.width);
  change.load(p.y, p.y_rows.offset(row));
  const std::int64_t first = p.x_rows.offset(row);
  for_real_type(p.x.dtype, [&](auto type) {
    auto* const x = static_cast<decltype(type)*>(p.x.data) + first;
    part.combine(change, [&](int i, float(&values)[kElements], const float(&changes)[kElements]) {
      if (p.gate.values.data != nullptr) {
        float gate[kElements];
        load_parameter<Traits>(p.gate.values, p.gate.stride + i, gate);
#pragma unroll
        for (int j = 0; j < kElements; ++j) values[j] = fmaf(gate[j], changes[j], values[j]);
      } else {
#pragma unroll
        for (int j = 0; j < kElements; ++j) values[j] += changes[j];
      }
      store_chunk<Traits::kAligned>(values, x + i);
    });
  });
}

template <typename Traits, bool kResidual>
__global__ void __launch_bounds__(Traits::kBlock, blocks_at_once(Traits::kBlock, kResidual ? 2 : 1))
    layer_norm_kernel(LayerNormParams p) {
  constexpr int kElements = Traits::kElements;
  __shared__ float scratch[Traits::kBlock / 32];
  const RowThread<Traits> thread;
  if (thread.row >= p.rows) return;
  p.move_to_batch(p.x_rows.batches == 1 ? 0 : thread.row / static_cast<int>(p.x_rows.rows));
  RowPart<Traits> part(thread.lane, p.width);
  part.load({p.x.data, p.x.dtype}, p.x_rows.offset(thread.row));
  if constexpr (kResidual) add_residual<Traits>(p, thread.row, thread.lane, part);
  const float width = static_cast<float>(p.width);
  const float mean =
      group_sum<Traits::kThreads>(part.sum([](float v) { return v; }), scratch) / width;
  const float squares = group_sum<Traits::kThreads>(
      part.sum([mean](float v) { return (v - mean) * (v - mean); }), scratch);
  // A value that is not finite makes its row's mean so.
  if (kResidual && p.nonfinite != nullptr && thread.lane == 0 && !isfinite(mean))
    atomicAdd(p.nonfinite, 1);
  const float factor = 1.0f / sqrtf(squares / width + p.eps);
  const std::int64_t first = p.h_rows.offset(thread.row);
  for_real_type(p.h.dtype, [&](auto type) {
    auto* const h = static_cast<decltype(type)*>(p.h.data) + first;
    part.each([&](int i, float(&values)[kElements]) {
      normalise<Traits>(p, i, mean, factor, values);
      store_chunk<Traits::kAligned>(values, h + i);
    });
  });
}

BatchRow batch_row(const ConstTensorView& view) {
  if (!view) return {};
  return {reals(view), view.stride(0)};
}

// What layer_norm and residual_norm have in common; `h` takes the result.
template <typename Args>
LayerNormParams layer_norm_params(const Args& args, const TensorView& h, RowAccess& access) {
  LayerNormParams p{};
  p.x_rows = row_shape(args.x);
  p.gamma = reals(args.gamma);
  p.beta = reals(args.beta);
  p.scale = batch_row(args.scale);
  p.shift = batch_row(args.shift);
  p.eps = static_cast<float>(args.eps);
  p.rows = as_int(p.x_rows.num_rows());
  p.width = as_int(p.x_rows.width);
  p.h = reals(h);
  p.h_rows = row_shape(h);
  access.add(args.x, p.x_rows);
  access.add(h, p.h_rows);
  access.add_parameter(args.gamma);
  access.add_parameter(args.beta);
  access.add_parameter(args.scale);
  access.add_parameter(args.shift);
  return p;
}

template <bool kResidual>
void launch_layer_norm(cudaStream_t stream, const RowAccess& access, const LayerNormParams& p) {
  with_row_traits<1>(p.width, access, [&](auto traits) {
    using Traits = decltype(traits);
    layer_norm_kernel<Traits, kResidual>
        <<<row_grid<Traits>(p.rows), Traits::kBlock, 0, stream>>>(p);
  });
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace

void rms_norm(CudaRuntime& runtime, const RmsNormArgs& args) {
  if (args.x.num_elements() == 0) return;
  RmsNormParams p{};
  p.x = reals(args.x);
  p.x_rows = row_shape(args.x);
  p.gamma = reals(args.gamma);
  p.eps = static_cast<float>(args.eps);
  p.rows = as_int(p.x_rows.num_rows());
  p.width = as_int(p.x_rows.width);
  p.y = reals(args.y);
  p.y_rows = row_shape(args.y);
  RowAccess access(p.width);
  access.add(args.x, p.x_rows);
  access.add(args.y, p.y_rows);
  access.add_parameter(args.gamma);
  with_row_traits<1>(p.width, access, [&](auto traits) {
    using Traits = decltype(traits);
    rms_norm_kernel<Traits><<<row_grid<Traits>(p.rows), Traits::kBlock, 0, runtime.stream()>>>(p);
  });
  PSAGEN_CUDA(cudaGetLastError());
}

void layer_norm(CudaRuntime& runtime, const LayerNormArgs& args) {
  if (args.x.num_elements() == 0) return;
  RowAccess access(args.x.dim(-1));
  LayerNormParams p = layer_norm_params(args, args.y, access);
  p.x = {const_cast<std::byte*>(args.x.bytes()), args.x.dtype()};
  launch_layer_norm<false>(runtime.stream(), access, p);
}

void residual_norm(CudaRuntime& runtime, const ResidualNormArgs& args) {
  if (args.x.num_elements() == 0) return;
  RowAccess access(args.x.dim(-1));
  LayerNormParams p = layer_norm_params(args, args.h, access);
  p.x = reals(args.x);
  p.y = reals(args.y);
  p.y_rows = row_shape(args.y);
  p.gate = batch_row(args.gate);
  if (args.nonfinite) p.nonfinite = args.nonfinite.data<std::int32_t>();
  access.add(args.y, p.y_rows);
  access.add_parameter(args.gate);
  launch_layer_norm<true>(runtime.stream(), access, p);
}

}  // namespace psagen::kernels::cuda
