#include "engine/vae/decoder.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>
#include <vector>

#include "engine/vae/chunk_buffers.h"
#include "engine/vae/decode_tile.h"
#include "engine/vae/decoder_network.h"
#include "engine/vae/frame_assembly.h"
#include "engine/vae/frame_delivery.h"
#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

constexpr std::int64_t kRgb = 3;
// On a GPU, beside the weights; and from how many latent frames a chunk on more bring nothing.
constexpr std::int64_t kDeviceBytes = 4'000'000'000;
constexpr std::int64_t kMostLatentFrames = 4;
// Workspace of the middle block's attention, which makes scores of 256 MiB at a time.
constexpr std::int64_t kWorkspaceBytes = std::int64_t{270} << 20;

// A [1, C, T, h, w] latent seen as [T, h, w, C].
ConstTensorView channels_last(const ConstTensorView& latent) {
  const Strides& s = latent.strides();
  return {latent.bytes(),
          latent.dtype(),
          {latent.dim(2), latent.dim(3), latent.dim(4), latent.dim(1)},
          {s[2], s[3], s[4], s[1]},
          latent.device()};
}

// NaN and infinite values of each stretch of the clip, of one latent frame where it has few; looked
// at once, at the end, so that no chunk is waited for.
class NonfiniteCounter {
 public:
  // `total`: latent frames of all tiles.
  NonfiniteCounter(kernels::Ops& ops, std::int64_t total)
      : total_(total),
        stretch_((total + kStretches - 1) / kStretches),
        counts_(ops.context().allocator(), DType::kI32, {kStretches}) {
    ops.copy(host(), counts_);
  }

  // `done` latent frames are decoded with these.
  void add(kernels::Ops& ops, ConstTensorView values, std::int64_t done) {
    const std::int64_t stretch = (done - 1) / stretch_;
    ops.count_nonfinite(values, counts_.view().slice(0, stretch, stretch + 1));
  }

  // Throws Error(kNumeric) where there were any.
  void check(kernels::Ops& ops) {
    ops.copy(counts_, host());
    for (std::int64_t i = 0; i < kStretches; ++i) {
      const std::int32_t found = found_[static_cast<std::size_t>(i)];
      const std::int64_t end = std::min((i + 1) * stretch_, total_);
      PSAGEN_CHECK(found == 0, ErrorCode::kNumeric, "the decoder gave ", found,
                   " values that are NaN or infinite, first up to latent frame ", end, " of ",
                   total_);
    }
  }

 private:
  static constexpr std::int64_t kStretches = 64;

  TensorView host() {
    return {reinterpret_cast<std::byte*>(found_.data()), DType::kI32, {kStretches}, Device{}};
  }

  std::int64_t total_, stretch_;
  std::array<std::int32_t, kStretches> found_{};
  Tensor counts_;
};

void check_latent(const VaeConfig& config, ConstTensorView latent, const DecodeSplit& split) {
  PSAGEN_CHECK(latent.rank() == 5 && latent.dim(0) == 1 && latent.dim(1) == config.z_dim,
               ErrorCode::kInvalidArgument, "latent has shape ", latent.shape(), ", wanted [1, ",
               config.z_dim, ", T, h, w]");
  PSAGEN_CHECK(latent.num_elements() > 0, ErrorCode::kInvalidArgument, "latent of shape ",
               latent.shape(), " is empty");
  const std::int64_t chunk = split.latent_frames_per_chunk.value_or(1);
  PSAGEN_CHECK(chunk >= 1, ErrorCode::kInvalidArgument, "latent frames per chunk is ", chunk,
               ", wanted at least 1");
  PSAGEN_CHECK(split.rows >= 1 && split.columns >= 1, ErrorCode::kInvalidArgument, "there are ",
               split.rows, " rows and ", split.columns, " columns of tiles, wanted at least 1");
}

// What leaves the network: counted, made levels where that is wanted, and sent on its way.
class Outlet {
 public:
  // `total`: latent frames of all tiles.
  Outlet(kernels::Ops& ops, bool as_levels, const Shape& largest, std::int64_t total,
         FrameDelivery::Sink sink)
      : levels_(as_levels ? Tensor(ops.context().allocator(), DType::kU8, largest) : Tensor()),
        nonfinite_(ops, total),
        delivery_(ops.context(), as_levels ? DType::kU8 : DType::kF32, largest, std::move(sink)) {}

  void push(kernels::Ops& ops, ConstTensorView values, std::int64_t done) {
    if (!levels_) return delivery_.push(values, done);
    nonfinite_.add(ops, values, done);  // what is not a number would be rounded to a colour
    const Shape& shape = values.shape();
    const TensorView levels(levels_.view().bytes(), DType::kU8, shape, values.device());
    ops.to_rgb8({.x = values, .rgb = levels});
    delivery_.push(levels, done);
  }

  void finish(kernels::Ops& ops) {
    delivery_.finish();
    nonfinite_.check(ops);
  }

 private:
  Tensor levels_;
  NonfiniteCounter nonfinite_;
  FrameDelivery delivery_;
};

BufferSize larger(const BufferSize& a, const BufferSize& b) {
  return {std::max(a.capacity, b.capacity), std::max(a.lead, b.lead)};
}

// One clip on its way through the network.
//
// Wan 2.1 at 832 x 480 in bfloat16, the frame in one piece: the contexts of 32 convolutions hold
// 944 million values, 1.89 GB; a buffer holds 307 MB for each latent frame of a chunk (96 channels
// at full size, 4 frames) and 153 MB in front of that for the two frames of a context; three
// buffers and the workspace bring it to 3.5 GB for one latent frame at a time, 4.5 GB for two.
//
// In tiles, contexts and buffers are those of one tile, and what the middle part gives is kept for
// the whole clip (4.8 MB for each latent frame of that size), so that it is computed once.
class Job {
 public:
  Job(kernels::Ops& ops, const DecoderNetwork& network, ConstTensorView latent,
      const DecodeSplit& split)
      : ops_(ops),
        network_(network),
        latent_(latent),
        tiles_(decode_tiles(network.stages(), split, latent.dim(1), latent.dim(2))),
        chunk_(chunk_frames(split)) {}

  const std::vector<DecodeTile>& tiles() const { return tiles_; }
  // Latent frames of all tiles.
  std::int64_t total() const { return static_cast<std::int64_t>(tiles_.size()) * num_frames(); }

  Shape largest_output() const {
    Shape largest = {chunk_ * network_.config().temporal_stride(), 0, 0, kRgb};
    for (const DecodeTile& tile : tiles_) {
      largest[1] = std::max(largest[1], tile.rows.output.length());
      largest[2] = std::max(largest[2], tile.columns.output.length());
    }
    return largest;
  }

  void run(Outlet& outlet) { tiles_.size() == 1 ? run_whole(outlet) : run_tiles(outlet); }

 private:
  std::int64_t num_frames() const { return latent_.dim(0); }
  Allocator& allocator() const { return ops_.context().allocator(); }
  DType dtype() const { return ops_.context().compute_dtype(); }

  // Of the part that a chunk of `frames` passes through, or the larger one of both.
  BufferSize buffer_size(std::int64_t frames) const {
    BufferSize size;
    if (tiles_.size() == 1) size = network_.middle_size(frames, latent_.dim(1), latent_.dim(2));
    for (const DecodeTile& tile : tiles_)
      size = larger(
          size, network_.upper_size(frames, tile, static_cast<std::int64_t>(dtype_size(dtype()))));
    // The CPU's convolutions copy their frames anyway.
    if (ops_.context().runtime() == nullptr) size.lead = 0;
    return size;
  }

  // What the contexts take, by making them; and, in tiles, what is kept of the middle part.
  std::int64_t bytes_beside_buffers() const {
    const std::size_t held = allocator().bytes_in_use();
    std::size_t most = 0;
    for (const DecodeTile& tile : tiles_) {
      const auto state = network_.make_upper(allocator(), tile);
      most = std::max(most, allocator().bytes_in_use() - held);
    }
    const std::int64_t height = latent_.dim(1), width = latent_.dim(2);
    if (tiles_.size() > 1)
      return static_cast<std::int64_t>(most + middle_shape().num_elements() * dtype_size(dtype()));
    const auto state = network_.make_middle(allocator(), height, width);
    return static_cast<std::int64_t>(most + allocator().bytes_in_use() - held) + kWorkspaceBytes;
  }

  std::int64_t chunk_frames(const DecodeSplit& split) const {
    const bool is_gpu = ops_.context().runtime() != nullptr;
    std::int64_t frames = split.latent_frames_per_chunk.value_or(is_gpu ? kMostLatentFrames : 1);
    if (is_gpu && !split.latent_frames_per_chunk) {
      const std::int64_t beside = bytes_beside_buffers();
      const auto fits = [&](std::int64_t count) {
        const BufferSize size = buffer_size(count);
        return beside + 3 * (size.capacity + size.lead) *
                            static_cast<std::int64_t>(dtype_size(dtype())) <=
               kDeviceBytes;
      };
      while (frames > 1 && !fits(frames)) --frames;
    }
    return std::min(frames, num_frames());
  }

  template <typename Work>
  void for_chunks(const Work& work) const {
    for (std::int64_t begin = 0; begin < num_frames(); begin += chunk_) {
      const Profiler::Range range(ops_.context().profiler(), "chunk", begin / chunk_);
      work(begin, std::min(begin + chunk_, num_frames()));
    }
  }

  void run_whole(Outlet& outlet) {
    const DecodeTile& frame = tiles_.front();
    auto middle = network_.make_middle(allocator(), latent_.dim(1), latent_.dim(2));
    auto upper = network_.make_upper(allocator(), frame);
    const BufferSize size = buffer_size(chunk_);
    ChunkBuffers buffers(allocator(), size.capacity, dtype(), size.lead);
    for_chunks([&](std::int64_t begin, std::int64_t end) {
      network_.middle(ops_, latent_.slice(0, begin, end), middle, buffers);
      outlet.push(ops_, network_.upper(ops_, frame, upper, buffers), end);
    });
  }

  void run_tiles(Outlet& outlet) {
    Tensor middle(allocator(), dtype(), middle_shape());
    compute_middle(middle);
    const BufferSize size = buffer_size(chunk_);
    ChunkBuffers buffers(allocator(), size.capacity, dtype(), size.lead);
    for (std::size_t i = 0; i < tiles_.size(); ++i) {
      const std::int64_t number = static_cast<std::int64_t>(i);
      const Profiler::Range range(ops_.context().profiler(), "tile", number);
      const DecodeTile& tile = tiles_[i];
      const PixelSpan rows = tile.rows.inputs[0], columns = tile.columns.inputs[0];
      auto upper = network_.make_upper(allocator(), tile);
      for_chunks([&](std::int64_t begin, std::int64_t end) {
        const TensorView x = buffers.first_spare(
            {end - begin, rows.length(), columns.length(), network_.middle_channels()});
        ops_.copy(middle.view()
                      .slice(0, begin, end)
                      .slice(1, rows.begin, rows.end)
                      .slice(2, columns.begin, columns.end),
                  x);
        buffers.set_x(x);
        outlet.push(ops_, network_.upper(ops_, tile, upper, buffers), number * num_frames() + end);
      });
    }
  }

  Shape middle_shape() const {
    return {num_frames(), latent_.dim(1), latent_.dim(2), network_.middle_channels()};
  }

  void compute_middle(TensorView middle) {
    auto state = network_.make_middle(allocator(), latent_.dim(1), latent_.dim(2));
    BufferSize size = network_.middle_size(chunk_, latent_.dim(1), latent_.dim(2));
    if (ops_.context().runtime() == nullptr) size.lead = 0;
    ChunkBuffers buffers(allocator(), size.capacity, dtype(), size.lead);
    for_chunks([&](std::int64_t begin, std::int64_t end) {
      network_.middle(ops_, latent_.slice(0, begin, end), state, buffers);
      ops_.copy(buffers.x(), middle.slice(0, begin, end));
    });
    ops_.context().workspace().trim();  // the scores of the attention are wanted no more
  }

  kernels::Ops& ops_;
  const DecoderNetwork& network_;
  ConstTensorView latent_;  // [T, h, w, z]
  std::vector<DecodeTile> tiles_;
  std::int64_t chunk_;
};

}  // namespace

VaeDecoder::VaeDecoder(const VaeConfig& config, const Weights& weights, kernels::Ops& ops)
    : network_(std::make_unique<const DecoderNetwork>(config, weights, ops)) {}

VaeDecoder::~VaeDecoder() = default;
VaeDecoder::VaeDecoder(VaeDecoder&&) noexcept = default;
VaeDecoder& VaeDecoder::operator=(VaeDecoder&&) noexcept = default;

void VaeDecoder::run(kernels::Ops& ops, ConstTensorView latent, Output output,
                     const FrameSink& sink, const DecodeProgress& progress,
                     const DecodeSplit& split) const {
  const VaeConfig& config = network_->config();
  check_latent(config, latent, split);
  Job job(ops, *network_, channels_last(latent), split);
  const bool as_levels = output == Output::kRgb8;
  const std::int64_t stride = config.spatial_stride(), total = job.total();
  const Shape clip = {(latent.dim(2) - 1) * config.temporal_stride() + 1, latent.dim(3) * stride,
                      latent.dim(4) * stride, kRgb};
  FrameAssembly assembly(as_levels ? DType::kU8 : DType::kF32, clip, job.tiles(), sink);
  Outlet outlet(
      ops, as_levels, job.largest_output(), total, [&](ConstTensorView part, std::int64_t done) {
        assembly.add(part);
        PSAGEN_CHECK(!progress || progress(done, total), ErrorCode::kCancelled,
                     "decoding was cancelled after ", done, " of ", total, " latent frames");
      });
  job.run(outlet);
  outlet.finish(ops);
}

void VaeDecoder::decode(kernels::Ops& ops, ConstTensorView latent, const FrameSink& sink,
                        const DecodeProgress& progress, const DecodeSplit& split) const {
  run(ops, latent, Output::kRgb8, sink, progress, split);
}

void VaeDecoder::decode_values(kernels::Ops& ops, ConstTensorView latent, const FrameSink& sink,
                               const DecodeProgress& progress, const DecodeSplit& split) const {
  run(ops, latent, Output::kValues, sink, progress, split);
}

}  // namespace psagen::engine
