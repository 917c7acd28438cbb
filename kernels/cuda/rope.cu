// RMS norm over all heads of a token together, then rotation of adjacent pairs within each head;
// formulas in kernels/ops.h.
//
// A token's row is read once into registers (device/row_values.cuh) and written once; x and y may
// each be a strided part of a wider buffer, such as a third of [B, L, 3 N D]. Bytes that must move,
// for each token: N D (size of x + size of y) + 4 D for the angles, which all heads share.
#include "kernels/cuda/device/row_launch.cuh"
#include "kernels/cuda/norm.h"

namespace psagen::kernels::cuda {
namespace {

struct RmsNormRopeParams {
  ConstReals x;
  RowShape x_rows;
  ConstReals gamma;
  float eps;
  const float* rope_cos;  // [L, D / 2]
  const float* rope_sin;
  int rows, width, head_dim;
  Reals y;
  RowShape y_rows;
};

// The angles of the pairs of one chunk.
template <typename Traits>
struct Angles {
  static constexpr int kPairs = Traits::kElements / 2;
  float cosine[kPairs], sine[kPairs];

  // Of the chunk at element `i` of token `token`. Aligned chunks do not straddle heads.
  __device__ void load(const RmsNormRopeParams& p, int token, int i) {
    const std::int64_t first =
        static_cast<std::int64_t>(token) * (p.head_dim / 2) + i % p.head_dim / 2;
    load_chunk<Traits::kAligned>(p.rope_cos + first, cosine);
    load_chunk<Traits::kAligned>(p.rope_sin + first, sine);
  }
};

template <typename Traits>
__global__ void __launch_bounds__(Traits::kBlock, blocks_at_once(Traits::kBlock, 1))
    rms_norm_rope_kernel(const RmsNormRopeParams p) {
  constexpr int kElements = Traits::kElements;
  __shared__ float scratch[Traits::kBlock / 32];
  const RowThread<Traits> thread;
  if (thread.row >= p.rows) return;
  RowPart<Traits> part(thread.lane, p.width);
  part.load(p.x, p.x_rows.offset(thread.row));
  const int token =
      p.x_rows.batches == 1 ? thread.row : thread.row % static_cast<int>(p.x_rows.rows);
  // Where a head's width divides the distance between a thread's chunks they all turn alike.
  const bool same_angles = Traits::kThreads * kElements % p.head_dim == 0;
  Angles<Traits> angles;
  angles.load(p, token, thread.lane * kElements);
  const float squares =
      group_sum<Traits::kThreads>(part.sum([](float v) { return v * v; }), scratch);
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(p.width) + p.eps);
  const std::int64_t first = p.y_rows.offset(thread.row);
  for_real_type(p.y.dtype, [&](auto type) {
    auto* const y = static_cast<decltype(type)*>(p.y.data) + first;
    part.each([&](int i, float(&values)[kElements]) {
      float gamma[kElements], turned[kElements];
      load_parameter<Traits>(p.gamma, i, gamma);
      if (!same_angles) angles.load(p, token, i);
#pragma unroll
      for (int j = 0; j < kElements; j += 2) {
        const float a = values[j] * factor * gamma[j];
        const float b = values[j + 1] * factor * gamma[j + 1];
        const float cosine = angles.cosine[j / 2], sine = angles.sine[j / 2];
        turned[j] = a * cosine - b * sine;
        turned[j + 1] = a * sine + b * cosine;
      }
      store_chunk<Traits::kAligned>(turned, y + i);
    });
  });
}

}  // namespace

void rms_norm_rope(CudaRuntime& runtime, const RmsNormRopeArgs& args) {
  if (args.x.num_elements() == 0) return;
  RmsNormRopeParams p{};
  p.x = reals(args.x);
  p.x_rows = row_shape(args.x);
  p.gamma = reals(args.gamma);
  p.eps = static_cast<float>(args.eps);
  p.rope_cos = args.rope_cos.data<float>();
  p.rope_sin = args.rope_sin.data<float>();
  p.rows = as_int(p.x_rows.num_rows());
  p.width = as_int(p.x_rows.width);
  p.head_dim = as_int(args.y.dim(3));
  p.y = reals(args.y);
  p.y_rows = {args.y.dim(0), args.y.dim(1), p.width, args.y.stride(0), args.y.stride(1)};
  // A chunk of four has two neighbouring pairs of one head.
  RowAccess access(p.head_dim);
  access.add(args.x, p.x_rows);
  access.add(args.y, p.y_rows);
  access.add_parameter(args.gamma);
  access.add_parameter(args.rope_cos);
  access.add_parameter(args.rope_sin);
  with_row_traits<2>(p.width, access, [&](auto traits) {
    using Traits = decltype(traits);
    rms_norm_rope_kernel<Traits>
        <<<row_grid<Traits>(p.rows), Traits::kBlock, 0, runtime.stream()>>>(p);
  });
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
