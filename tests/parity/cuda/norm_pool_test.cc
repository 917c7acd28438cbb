// Pooling beside the norm of queries and keys: y against the double-precision formula, and what is
// pooled bit for bit against the kernels that make the same from y.
#include <algorithm>
#include <limits>

#include "kernels/psa/psa_args.h"
#include "kernels/reference/rms_norm_rope.h"
#include "tests/parity/cuda/cuda_parity.h"
#include "tests/parity/cuda/pyramid_bytes.h"

namespace psagen::kernels {
namespace {

struct Size {
  std::int64_t tokens, heads, depth;
  int key_block, query_block;
};

// One warp to six, blocks of every size, and last ones part-filled.
constexpr Size kSizes[] = {{1000, 12, 128, 128, 128}, {777, 3, 64, 64, 64}, {300, 11, 128, 32, 128},
                           {129, 9, 128, 128, 256},   {95, 6, 32, 32, 32},  {7, 2, 128, 64, 128},
                           {640, 5, 16, 128, 128},    {515, 23, 64, 64, 64}};
constexpr std::int64_t kSlab = 256;  // rows of a call; the last one has the rest

class CudaNormPool : public CudaParity {
 protected:
  Tensor on_device(DType type, Shape shape) { return std::move(poisoned(shape, type).device); }

  // Bit for bit; says where the first difference is.
  void expect_same(const Tensor& device, const Tensor& wanted, const std::string& what) {
    expect_same(device, bytes(wanted), what);
  }
  void expect_same(const Tensor& device, const std::vector<std::byte>& right,
                   const std::string& what) {
    const std::vector<std::byte> found = bytes(device);
    const auto [at, other] = std::mismatch(found.begin(), found.end(), right.begin(), right.end());
    EXPECT_TRUE(at == found.end())
        << what << ": byte " << at - found.begin() << " of " << device.shape() << " is "
        << (at == found.end() ? 0 : static_cast<int>(*at)) << ", wanted "
        << (other == right.end() ? 0 : static_cast<int>(*other));
  }
};

TEST_P(CudaNormPool, MakesTheRowsOfThePyramidAndTheMeansOfQueries) {
  EXPECT_FALSE(ops().pools_in_norm(DType::kF32, 12, 128, 128));
  EXPECT_FALSE(ops().pools_in_norm(dtype(), 40, 128, 128)) << "slower than by itself";
  if (dtype() == DType::kF32) return;
  for (const Size& size : kSizes)
    for (const ImportanceEstimator estimator :
         {ImportanceEstimator::kPooledLogSumExp, ImportanceEstimator::kStaggered}) {
      const std::string what = concat(size.tokens, " tokens, ", size.heads, " x ", size.depth,
                                      ", blocks of ", size.key_block, " and ", size.query_block);
      ASSERT_TRUE(ops().pools_in_norm(dtype(), size.heads, size.depth, size.query_block)) << what;
      const std::int64_t width = size.heads * size.depth, batch = 2;
      const Mirrored gamma = random({width}, 1, DType::kF32);
      const Mirrored cosines = random({size.tokens, size.depth / 2}, 2, DType::kF32);
      const Mirrored sines = random({size.tokens, size.depth / 2}, 3, DType::kF32);
      const Mirrored x = random({batch, size.tokens, width}, 4, DType::kF32, 5.0);
      Mirrored y = poisoned({batch, size.tokens, size.heads, size.depth}, dtype());
      const PyramidShape shape = {size.tokens, size.key_block, 2};
      const std::int64_t query_blocks = (size.tokens + size.query_block - 1) / size.query_block;
      const std::int64_t key_blocks = shape.key_blocks();
      const Shape rows = {batch, size.heads, shape.total_rows(), size.depth};
      Tensor keys = on_device(dtype(), rows), wanted = on_device(dtype(), rows);
      Tensor means = on_device(dtype(), {batch, size.heads, query_blocks,
                                         size.query_block / queries_of_row(estimator), size.depth});
      Tensor weights = on_device(DType::kF32, {shape.total_rows()});
      Tensor wanted_weights = on_device(DType::kF32, {shape.total_rows()});
      const auto norm = [&](bool of_keys, bool coarsest_only = false) {
        for (std::int64_t begin = 0; begin < size.tokens; begin += kSlab) {
          const std::int64_t end = std::min(begin + kSlab, size.tokens);
          NormPool pool;
          pool.first_token = begin;
          pool.num_tokens = size.tokens;
          pool.shape = shape;
          pool.scale = 0.125;
          pool.estimator = estimator;
          (of_keys ? pool.keys : pool.queries) = of_keys ? keys : means;
          pool.log2_weight = weights;
          pool.coarsest_only = coarsest_only;
          ops().rms_norm_rope({.x = x.device.view().slice(1, begin, end),
                               .gamma = gamma.device,
                               .rope_cos = cosines.device.view().slice(0, begin, end),
                               .rope_sin = sines.device.view().slice(0, begin, end),
                               .y = y.device.view().slice(1, begin, end),
                               .pool = &pool});
        }
      };
      norm(true);
      const RmsNormRopeArgs host{.x = x.host,
                                 .gamma = gamma.host,
                                 .rope_cos = cosines.host,
                                 .rope_sin = sines.host,
                                 .y = y.host};
      expect_close(values(y.device), reference::rms_norm_rope<double>(host),
                   rounded(reference::rms_norm_rope<float>(host), dtype()), what);

      Pyramid pyramid;
      pyramid.shape = shape;
      Tensor wanted_values = on_device(dtype(), rows);
      pyramid.keys = wanted;
      pyramid.values = wanted_values;
      pyramid.log2_weight = wanted_weights;
      const ConstTensorView k = y.device;
      ops().build_pyramid({.k = k, .v = k, .similarity_thresholds = {}, .pyramid = pyramid});
      expect_same(keys, wanted, what + ", keys");
      expect_same(weights, wanted_weights, what + ", weights");

      keys = on_device(dtype(), rows);
      weights = on_device(DType::kF32, {shape.total_rows()});
      const auto untouched = bytes(keys);
      norm(true, true);
      expect_same(keys, coarsest_of(bytes(wanted), untouched, rows, shape),
                  what + ", coarsest keys");
      expect_same(weights, wanted_weights, what + ", weights with the coarsest keys");

      norm(false);
      const Shape pairs = {batch, size.heads, query_blocks, key_blocks};
      Tensor levels = on_device(DType::kU8, pairs);
      Tensor importance = on_device(DType::kF32, pairs);
      SelectBlocksArgs select{.q = y.device,
                              .k = y.device,
                              .pyramid = pyramid,
                              .scale = 0.125,
                              .params = {},
                              .importance = importance,
                              .levels = levels,
                              .order = {},
                              .nominal_density = {}};
      select.params.key_block = size.key_block;
      select.params.query_block = size.query_block;
      select.params.estimator = estimator;
      ops().select_blocks(select);
      const auto from_rows = bytes(importance);
      // From what the estimator reads alone.
      if (scored_part(estimator) == PyramidPart::kCoarsestKeys) select.pyramid.keys = keys;
      select.pooled_queries = means;
      ops().select_blocks(select);
      if (size.depth >= 64) {  // else the means are wanted in float32
        EXPECT_EQ(bytes(importance), from_rows) << what;
      }
    }
}

TEST_P(CudaNormPool, ResidualNormCountsRowsThatAreNotFinite) {
  for (const std::int64_t width : {96, 1536, 5120}) {
    Mirrored x = random({1, 9, width}, 5, DType::kF32);
    const Mirrored y = random({1, 9, width}, 6, dtype());
    Tensor h = on_device(dtype(), {1, 9, width});
    const std::int32_t zero = 0;
    Tensor counter(context_->allocator(), DType::kI32, {1});
    ops().copy(
        ConstTensorView(reinterpret_cast<const std::byte*>(&zero), DType::kI32, {1}, Device{}),
        counter);
    const auto count = [&] {
      ops().residual_norm({.x = x.device, .y = y.device, .h = h, .nonfinite = counter});
      std::int32_t value = -1;
      ops().copy(counter,
                 TensorView(reinterpret_cast<std::byte*>(&value), DType::kI32, {1}, Device{}));
      return value;
    };
    EXPECT_EQ(count(), 0) << width;
    x.host.view().data<float>()[3 * width + 1] = std::numeric_limits<float>::quiet_NaN();
    x.host.view().data<float>()[7 * width + width - 1] = std::numeric_limits<float>::infinity();
    ops().copy(x.host, x.device);
    EXPECT_EQ(count(), 2) << width;
  }
}

PSAGEN_CUDA_PARITY(CudaNormPool);

}  // namespace
}  // namespace psagen::kernels
