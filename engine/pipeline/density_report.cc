#include "engine/pipeline/density_report.h"

#include <limits>

namespace psagen::engine {
namespace {

// Sums over the calls of a step, then means.
class Means {
 public:
  void add_dense() { add(1.0, 1.0); }

  // values: [2][heads]
  void add_sparse(LayerDensity& layer, const float* values, std::int64_t heads) {
    layer.nominal.resize(static_cast<std::size_t>(heads));
    layer.executed.resize(static_cast<std::size_t>(heads));
    double nominal = 0.0, executed = 0.0;
    for (std::int64_t head = 0; head < heads; ++head) {
      const std::size_t at = static_cast<std::size_t>(head);
      nominal += values[head];
      executed += values[heads + head];
      layer.nominal[at] += values[head];
      layer.executed[at] += values[heads + head];
    }
    add(nominal / static_cast<double>(heads), executed / static_cast<double>(heads));
  }

  void write(StepReport& report) const {
    report.nominal_density = nominal_ / calls_;
    report.executed_density = executed_ / calls_;
  }

 private:
  void add(double nominal, double executed) {
    nominal_ += nominal;
    executed_ += executed;
    calls_ += 1.0;
  }

  double nominal_ = 0.0, executed_ = 0.0, calls_ = 0.0;
};

bool any_sparse(const std::vector<std::vector<std::uint8_t>>& sparse) {
  for (const std::vector<std::uint8_t>& layers : sparse)
    for (const std::uint8_t layer : layers)
      if (layer != 0) return true;
  return false;
}

}  // namespace

DensityReport::DensityReport(Context& context, const AttentionDensity& density, bool wanted)
    : runtime_(context.runtime()), density_(density), wanted_(wanted) {
  if (runtime_ == nullptr || !wanted || !density.values()) return;
  for (Step& step : steps_)
    step.copy = Tensor(runtime_->pinned_allocator(), DType::kF32, density.values().shape());
}

void DensityReport::fetch(std::int64_t step) {
  Step& slot = steps_[static_cast<std::size_t>(step % kSteps)];
  slot.sparse = density_.sparse();
  if (slot.copy && any_sparse(slot.sparse)) runtime_->download(density_.values(), slot.copy);
}

void DensityReport::write(std::int64_t step, StepReport& report) const {
  const Step& slot = steps_[static_cast<std::size_t>(step % kSteps)];
  report.sparse = any_sparse(slot.sparse);
  if (!report.sparse) return;
  if (!wanted_) {
    report.nominal_density = report.executed_density = std::numeric_limits<double>::quiet_NaN();
    return;
  }
  const ConstTensorView values = slot.copy ? slot.copy.view() : density_.values();
  const std::int64_t layers = values.dim(1), heads = values.dim(3);
  Means means;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    LayerDensity entry = {.layer = layer, .nominal = {}, .executed = {}};
    double forwards = 0.0;
    for (std::size_t forward = 0; forward < slot.sparse.size(); ++forward) {
      if (slot.sparse[forward][static_cast<std::size_t>(layer)] == 0) {
        means.add_dense();
        continue;
      }
      const std::int64_t index = static_cast<std::int64_t>(forward) * layers + layer;
      means.add_sparse(entry, values.data<float>() + index * 2 * heads, heads);
      forwards += 1.0;
    }
    if (forwards == 0.0) continue;
    for (std::vector<double>* part : {&entry.nominal, &entry.executed})
      for (double& value : *part) value /= forwards;
    report.layers.push_back(std::move(entry));
  }
  means.write(report);
}

}  // namespace psagen::engine
