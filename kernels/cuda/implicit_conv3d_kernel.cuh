// y[t, h, w, :] = bias + sum over (dt, dh, dw) of W[dt, dh, dw] x[t + dt - (kt - 1), h + dh - p,
// w + dw - p, :] (+ residual), as a product of a tile of 16 x 16 pixels with a tile of kTileN
// output channels.
//
// A stage of 32 input channels holds the tile with its rim of one frame, read once and used for all
// nine places of the kernel in it: ldmatrix takes a row of the left matrix from any pixel, so the
// shifted matrices are only other addresses. Reading a tile for each place apart would move nine
// times 256 pixels where this moves 324, and at 96 channels wait for the L2 cache. Weights come
// beside it a row of places at a time.
//
// The rim outside of a frame is filled with zeros as it is read, frames before the clip are left
// out of the sum, and doubled frames are read at half the coordinates.
#pragma once

#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/implicit_conv3d.h"

namespace psagen::kernels::cuda {

template <typename T, int kSide, int kOutputs>
struct ImplicitTraits {
  using Element = T;
  static constexpr int kKernel = kSide;  // pixels a side
  static constexpr int kTile = 16;       // pixels a side: a row is the 16 rows of one mma
  static constexpr int kTileN = kOutputs;
  static constexpr int kChannels = 32;  // input channels of a stage: rows of 64 bytes

  // A warp computes four rows of pixels; with few outputs it takes them all, with many half.
  static constexpr int kRows = 4;
  static constexpr int kWarpsM = kTile / kRows;
  static constexpr int kWarpsN = kTileN >= 64 ? 2 : 1;
  static constexpr int kThreads = 32 * kWarpsM * kWarpsN;
  static constexpr int kWarpN = kTileN / kWarpsN;
  static constexpr int kPairs = kWarpN / 16;  // of columns of eight outputs, loaded together
  static_assert(kWarpN % 16 == 0);

  static constexpr int kPad = (kKernel - 1) / 2;
  static constexpr int kHalo = kTile + 2 * kPad;
  static constexpr int kRowBytes = 2 * kChannels;
  static constexpr int kPieces = kRowBytes / 16;
  static constexpr int kPixelBytes = kHalo * kHalo * kRowBytes;
  static constexpr int kFilterBytes = kKernel * kTileN * kRowBytes;

  // Steps (a row of the kernel each) whose memory is loaded or in use at a time. Pixels serve
  // kKernel steps, so three steps touch no more than two sets of them where kKernel is 3.
  static constexpr int kStages = 3;
  static constexpr int kPixelSlots = kKernel == 1 ? 3 : 2;
  static constexpr int kSharedBytes = kPixelSlots * kPixelBytes + kStages * kFilterBytes;
  static_assert(kSharedBytes <= 99 * 1024, "what a block of compute capability 8.6 may have");
};

struct ImplicitParams {
  ConvolutionProblem problem;
  int tiles_w = 0, tiles_n = 0;
  bool vector_pixels = false;  // pixels can be read 16 bytes at a time
};

// 16-byte piece `piece` of row `row`. Eight consecutive rows, from any row on, have a piece in
// eight different sixteenths of 128 bytes: ldmatrix meets no bank twice.
__device__ inline int piece_offset(int row, int piece) {
  return row * 64 + ((piece ^ ((row >> 1) & 3)) << 4);
}

template <typename Traits>
class ImplicitConvolution {
  using T = typename Traits::Element;

 public:
  __device__ ImplicitConvolution(const ImplicitParams& params, unsigned char* shared)
      : params_(params), problem_(params.problem), shared_(shared) {
    int block = static_cast<int>(blockIdx.x);
    first_out_ = block % params.tiles_n * Traits::kTileN;
    block /= params.tiles_n;
    frame_ = block % problem_.frames;
    block /= problem_.frames;
    first_column_ = block % params.tiles_w * Traits::kTile;
    first_row_ = block / params.tiles_w * Traits::kTile;
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    warp_row_ = warp % Traits::kWarpsM * Traits::kRows;
    warp_out_ = warp / Traits::kWarpsM * Traits::kWarpN;
    lane_ = lane;
  }

  __device__ void run() {
    // Frames before the clip are zeros, so places of the kernel that see no others do not count.
    const int missing = problem_.kernel_t - 1 - frame_;
    const int first_place = problem_.context == nullptr && missing > 0 ? missing : 0;
    const int blocks = (problem_.stored_channels + Traits::kChannels - 1) / Traits::kChannels;
    const int steps = (problem_.kernel_t - first_place) * blocks * Traits::kKernel;

    Step next{first_place, 0, 0};
    int loaded = 0, pixel_sets = 0;
    const auto load_next = [&] {
      if (loaded < steps) {
        if (next.row == 0) load_pixels(next, pixels(pixel_sets++ % Traits::kPixelSlots));
        load_filters(next, filters(loaded % Traits::kStages));
        advance(next, blocks);
      }
      ++loaded;
      commit_copies();
    };
    for (int i = 0; i < Traits::kStages - 1; ++i) load_next();
    for (int step = 0; step < steps; ++step) {
      wait_for_copies<Traits::kStages - 2>();
      __syncthreads();  // the step's memory is complete, and that of the step before free
      load_next();
      multiply(step % Traits::kKernel, pixels(step / Traits::kKernel % Traits::kPixelSlots),
               filters(step % Traits::kStages));
    }
    wait_for_copies<0>();
    store();
  }

 private:
  // A row of the kernel in one of its frames, for one block of input channels.
  struct Step {
    int place;  // in time
    int block;
    int row;
  };

  __device__ static void advance(Step& step, int blocks) {
    if (++step.row < Traits::kKernel) return;
    step.row = 0;
    if (++step.block < blocks) return;
    step.block = 0;
    ++step.place;
  }

  __device__ unsigned char* pixels(int slot) const { return shared_ + slot * Traits::kPixelBytes; }
  __device__ unsigned char* filters(int slot) const {
    return shared_ + Traits::kPixelSlots * Traits::kPixelBytes + slot * Traits::kFilterBytes;
  }

  __device__ const T* source_frame(int place) const {
    const std::int64_t frame_size =
        static_cast<std::int64_t>(problem_.height) * problem_.width * problem_.in_channels;
    const int frame = frame_ + place - (problem_.kernel_t - 1);
    if (frame >= 0) return static_cast<const T*>(problem_.x) + frame * frame_size;
    return static_cast<const T*>(problem_.context) + (frame + problem_.kernel_t - 1) * frame_size;
  }

  __device__ void load_pixels(const Step& step, unsigned char* to) const {
    const T* const frame = source_frame(step.place);
    const int rows = problem_.out_height(), columns = problem_.out_width();
    const int halving = problem_.upsample ? 1 : 0;
    for (int i = static_cast<int>(threadIdx.x); i < Traits::kHalo * Traits::kHalo * Traits::kPieces;
         i += Traits::kThreads) {
      const int piece = i % Traits::kPieces, pixel = i / Traits::kPieces;
      const int row = first_row_ - Traits::kPad + pixel / Traits::kHalo;
      const int column = first_column_ - Traits::kPad + pixel % Traits::kHalo;
      const int channel = step.block * Traits::kChannels + 8 * piece;
      const bool inside = row >= 0 && row < rows && column >= 0 && column < columns &&
                          channel < problem_.in_channels;
      const T* const from = inside
                                ? frame +
                                      static_cast<std::int64_t>((row >> halving) * problem_.width +
                                                                (column >> halving)) *
                                          problem_.in_channels +
                                      channel
                                : frame;
      unsigned char* const place = to + piece_offset(pixel, piece);
      if (params_.vector_pixels)
        copy_16_async(shared_address(place), from, inside);
      else
        copy_eight(from, inside ? problem_.in_channels - channel : 0, place);
    }
  }

  // The first `count` of eight elements at any address, then zeros.
  __device__ static void copy_eight(const T* from, int count, unsigned char* to) {
    Pack<T, 8> pack;
#pragma unroll
    for (int i = 0; i < 8; ++i) pack.values[i] = i < count ? from[i] : narrow<T>(0.0f);
    *reinterpret_cast<Pack<T, 8>*>(to) = pack;
  }

  // Rows (dw, output channel) of one row of places.
  __device__ void load_filters(const Step& step, unsigned char* to) const {
    const T* const weight = static_cast<const T*>(problem_.weight);
    for (int i = static_cast<int>(threadIdx.x);
         i < Traits::kKernel * Traits::kTileN * Traits::kPieces; i += Traits::kThreads) {
      const int piece = i % Traits::kPieces, row = i / Traits::kPieces;
      const int out = first_out_ + row % Traits::kTileN, column = row / Traits::kTileN;
      const int channel = step.block * Traits::kChannels + 8 * piece;
      const bool present = out < problem_.out_channels && channel < problem_.stored_channels;
      const std::int64_t pixel =
          ((static_cast<std::int64_t>(out) * problem_.kernel_t + step.place) * Traits::kKernel +
           step.row) *
              Traits::kKernel +
          column;
      copy_16_async(shared_address(to + piece_offset(row, piece)),
                    present ? weight + pixel * problem_.stored_channels + channel : weight,
                    present);
    }
  }

  __device__ void multiply(int row, const unsigned char* pixels, const unsigned char* filters) {
    const std::uint32_t pixel_base = shared_address(pixels);
    const std::uint32_t filter_base = shared_address(filters);
    // Which row and half of the four matrices that are loaded together the lane names (mma.cuh).
    const int pixel = (warp_row_ + row) * Traits::kHalo + lane_ % 16, pixel_half = lane_ / 16;
    const int filter = warp_out_ + lane_ % 8 + lane_ / 16 * 8, filter_half = lane_ / 8 % 2;
#pragma unroll
    for (int column = 0; column < Traits::kKernel; ++column) {
#pragma unroll
      for (int piece = 0; piece < Traits::kPieces; piece += 2) {
        std::uint32_t a[Traits::kRows][4];
#pragma unroll
        for (int i = 0; i < Traits::kRows; ++i)
          load_matrices(a[i], pixel_base + piece_offset(pixel + i * Traits::kHalo + column,
                                                        piece + pixel_half));
#pragma unroll
        for (int j = 0; j < Traits::kPairs; ++j) {
          std::uint32_t b[4];
          load_matrices(b, filter_base + piece_offset(column * Traits::kTileN + filter + 16 * j,
                                                      piece + filter_half));
#pragma unroll
          for (int i = 0; i < Traits::kRows; ++i) {
            multiply_add<T>(sums_[i][2 * j], a[i], b[0], b[1]);
            multiply_add<T>(sums_[i][2 * j + 1], a[i], b[2], b[3]);
          }
        }
      }
    }
  }

  __device__ void store() const {
    const bool pairs = problem_.out_channels % 2 == 0;
#pragma unroll
    for (int j = 0; j < 2 * Traits::kPairs; ++j) {
      const int out = first_out_ + warp_out_ + 8 * j + lane_ % 4 * 2;
      const float bias[2] = {bias_of(out), bias_of(out + 1)};
#pragma unroll
      for (int i = 0; i < Traits::kRows; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = first_row_ + warp_row_ + i;
          const int column = first_column_ + lane_ / 4 + 8 * half;
          if (row >= problem_.out_height() || column >= problem_.out_width()) continue;
          const std::int64_t index =
              ((static_cast<std::int64_t>(frame_) * problem_.out_height() + row) *
                   problem_.out_width() +
               column) *
                  problem_.out_channels +
              out;
          const float sums[2] = {sums_[i][j][2 * half] + bias[0],
                                 sums_[i][j][2 * half + 1] + bias[1]};
          if (pairs) {
            if (out < problem_.out_channels) store_values<2>(sums, index);
            continue;
          }
          for (int k = 0; k < 2; ++k) {
            const float one[1] = {sums[k]};
            if (out + k < problem_.out_channels) store_values<1>(one, index + k);
          }
        }
    }
  }

  __device__ float bias_of(int out) const {
    return out < problem_.out_channels ? __ldg(problem_.bias + out) : 0.0f;
  }

  template <int kCount>
  __device__ void store_values(const float (&sums)[kCount], std::int64_t index) const {
    float values[kCount];
#pragma unroll
    for (int k = 0; k < kCount; ++k) values[k] = 0.0f;
    if (problem_.residual.data != nullptr) load_reals<kCount>(problem_.residual, index, values);
#pragma unroll
    for (int k = 0; k < kCount; ++k) values[k] += sums[k];
    store_reals<kCount>(values, problem_.y, index);
  }

  const ImplicitParams& params_;
  const ConvolutionProblem& problem_;
  unsigned char* shared_;
  int frame_, first_row_, first_column_, first_out_;
  int warp_row_, warp_out_, lane_;
  float sums_[Traits::kRows][2 * Traits::kPairs][4] = {};
};

template <typename Traits>
__global__ void __launch_bounds__(Traits::kThreads)
    implicit_conv3d_kernel(const __grid_constant__ ImplicitParams params) {
  extern __shared__ __align__(128) unsigned char shared[];
  ImplicitConvolution<Traits>(params, shared).run();
}

}  // namespace psagen::kernels::cuda
