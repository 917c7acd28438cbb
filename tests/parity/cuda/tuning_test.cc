// Choices by measurement in a store: a later run finds them, measures nothing and gives the same
// bits; what is in a store and does not serve is measured again.
#include <gmock/gmock.h>

#include <functional>

#include "tests/parity/cuda/cuda_parity.h"
#include "tests/support/map_store.h"

namespace psagen::kernels {
namespace {

using psagen::testing::MapStore;

class CudaTuning : public CudaParity {
 protected:
  // A context of its own, as another run has; its results: a product that is worth measuring, then
  // a convolution.
  std::vector<double> run_with(const std::shared_ptr<MapStore>& store) {
    store->found = store->kept = 0;
    context_ = make_context(
        {.device = {DeviceKind::kCuda, 0}, .compute_dtype = GetParam(), .tuning_store = store});
    ops_ = make_ops(*context_);
    const Mirrored x = random({1, 320, 1104}, 1, dtype());
    const Mirrored weight = random({1536, 1104}, 2, dtype(), 0.1);
    const Mirrored bias = random({1536}, 3, dtype());
    Tensor product(context_->allocator(), dtype(), {1, 320, 1536});
    ops().linear({.x = x.device, .weight = weight.device, .bias = bias.device, .y = product});

    const Mirrored frames = random({4, 40, 48, 96}, 4, dtype());
    const Mirrored filters = random({96, 96, 3, 3, 3}, 5, dtype(), 0.05);
    const Mirrored filter_bias = random({96}, 6, DType::kF32);
    Tensor filtered(context_->allocator(), dtype(), {4, 40, 48, 96});
    const auto packed = ops().pack_conv3d({.weight = filters.device, .bias = filter_bias.device});
    ops().conv3d({.x = frames.device, .weights = packed.get(), .y = filtered});

    std::vector<double> results = values(product);
    const std::vector<double> more = values(filtered);
    results.insert(results.end(), more.begin(), more.end());
    context_->runtime()->synchronize();
    return results;
  }

  void TearDown() override {
    ops_.reset();
    context_.reset();
  }
};

TEST_P(CudaTuning, ALaterRunFindsTheChoicesAndGivesTheSameBits) {
  const auto store = std::make_shared<MapStore>();
  const std::vector<double> first = run_with(store);
  EXPECT_EQ(store->found, 0);
  ASSERT_GE(store->kept, 1) << "the product at least is measured";
  const int kept = store->kept;
  EXPECT_EQ(static_cast<int>(store->choices.size()), kept);
  for (const auto& [key, choice] : store->choices)
    EXPECT_THAT(key, ::testing::HasSubstr(", driver ")) << "of " << choice.size() << " numbers";
  const std::vector<double> second = run_with(store);
  EXPECT_EQ(store->found, kept);
  EXPECT_EQ(store->kept, 0);
  EXPECT_EQ(first, second);
}

TEST_P(CudaTuning, ChoicesThatDoNotServeAreMeasuredAgain) {
  const auto store = std::make_shared<MapStore>();
  const std::vector<double> wanted = run_with(store);
  const int kept = store->kept;
  const auto rms = [](const std::vector<double>& a, const std::vector<double>* b) {
    double squares = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i)
      squares += std::pow(a[i] - (b == nullptr ? 0.0 : (*b)[i]), 2);
    return std::sqrt(squares / static_cast<double>(a.size()));
  };
  // Two algorithms may add in another order: a bit of the type.
  const double tolerance = rms(wanted, nullptr) * 0x1p-7;
  using Choice = TuningStore::Choice;
  // An engine that does not exist, which is also too short for an algorithm.
  for (auto& [key, choice] : store->choices) choice = Choice{1 << 20};
  EXPECT_LE(rms(run_with(store), &wanted), tolerance) << "no such engine";
  EXPECT_EQ(store->kept, kept) << "everything is measured again";
  // Zeros may name something that computes; what comes out must be right in any case.
  for (auto& [key, choice] : store->choices) choice = Choice(8, 0);
  EXPECT_LE(rms(run_with(store), &wanted), tolerance) << "zeros";
}

PSAGEN_CUDA_PARITY(CudaTuning);

}  // namespace
}  // namespace psagen::kernels
