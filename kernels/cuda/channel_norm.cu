// x / max(||x||, 1e-12) * sqrt(C) * gamma over the channels of every pixel, then SiLU if asked for.
//
// Rows are short and many (C = 96, 33 x 480 x 832 of them): a row is shared by 4 to 32 threads,
// each of which has up to three chunks of it, so that neighbours in a warp read whole lines of
// several rows; gamma stays in registers while a block goes through its rows. Bytes that must move:
// C (size of x + size of y) for each row.
#include <algorithm>

#include "kernels/cuda/device/row_launch.cuh"
#include "kernels/cuda/norm.h"

namespace psagen::kernels::cuda {
namespace {

struct ChannelNormParams {
  ConstReals x;
  RowShape x_rows;
  ConstReals gamma;
  bool with_silu;
  int rows, width;
  Reals y;
  RowShape y_rows;
};

template <typename Traits>
__global__ void __launch_bounds__(Traits::kBlock, blocks_at_once(Traits::kBlock, 1))
    channel_norm_kernel(const ChannelNormParams p) {
  constexpr int kElements = Traits::kElements;
  __shared__ float scratch[Traits::kBlock / 32];
  const RowThread<Traits> thread;
  // The threads of a warp add up their rows together, the last ones for nothing.
  const bool exists = thread.row < p.rows;
  const int row = exists ? thread.row : p.rows - 1;
  RowPart<Traits> part(thread.lane, p.width);
  part.load(p.x, p.x_rows.offset(row));
  const float squares =
      group_sum<Traits::kThreads>(part.sum([](float v) { return v * v; }), scratch);
  const float factor = sqrtf(static_cast<float>(p.width)) / fmaxf(sqrtf(squares), 1e-12f);
  if (!exists) return;
  const std::int64_t first = p.y_rows.offset(row);
  for_real_type(p.y.dtype, [&](auto type) {
    auto* const y = static_cast<decltype(type)*>(p.y.data) + first;
    part.each([&](int i, float(&values)[kElements]) {
      float gamma[kElements], result[kElements];
      load_parameter<Traits>(p.gamma, i, gamma);
#pragma unroll
      for (int j = 0; j < kElements; ++j) {
        const float value = values[j] * factor * gamma[j];
        result[j] = p.with_silu ? silu(value) : value;
      }
      store_chunk<Traits::kAligned>(result, y + i);
    });
  });
}

// Calls launch(traits) with as few threads a row as give each of them three chunks at most.
template <typename Launch>
void with_channel_traits(int width, const RowAccess& access, const Launch& launch) {
  constexpr int kChunk = RowAccess::kChunk;
  if (access.aligned() && width <= 1024) {
    if (width <= 16) return launch(RowTraits<4, 1, kChunk, true>{});
    if (width <= 32) return launch(RowTraits<8, 1, kChunk, true>{});
    if (width <= 96) return launch(RowTraits<8, 3, kChunk, true>{});
    if (width <= 192) return launch(RowTraits<16, 3, kChunk, true>{});
    if (width <= 384) return launch(RowTraits<32, 3, kChunk, true>{});
    return launch(RowTraits<32, 8, kChunk, true>{});
  }
  if (width <= 256) return launch(RowTraits<32, 8, 1, false>{});
  if (width <= 1024) return launch(RowTraits<32, 32, 1, false>{});
  launch(RowTraits<512, 0, 1, false>{});
}

}  // namespace

void channel_norm(CudaRuntime& runtime, const ChannelNormArgs& args) {
  if (args.x.num_elements() == 0) return;
  ChannelNormParams p{};
  p.x = reals(args.x);
  p.x_rows = joined_row_shape(args.x);
  p.gamma = reals(args.gamma);
  p.with_silu = args.silu;
  p.rows = as_int(p.x_rows.num_rows());
  p.width = as_int(p.x_rows.width);
  p.y = reals(args.y);
  p.y_rows = joined_row_shape(args.y);
  RowAccess access(p.width);
  access.add(args.x, p.x_rows);
  access.add(args.y, p.y_rows);
  access.add_parameter(args.gamma);
  with_channel_traits(p.width, access, [&](auto traits) {
    using Traits = decltype(traits);
    channel_norm_kernel<Traits>
        <<<row_grid<Traits>(p.rows), Traits::kBlock, 0, runtime.stream()>>>(p);
  });
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
