#include "kernels/core/profile.h"

#include <string>

namespace psagen {

const char* zone_name(Zone zone) {
  switch (zone) {
    case Zone::kAttention:
      return "attention";
    case Zone::kBlockImportance:
      return "block_importance";
    case Zone::kConv3d:
      return "conv3d";
    case Zone::kElementwise:
      return "elementwise";
    case Zone::kLevelAllocation:
      return "level_allocation";
    case Zone::kLinear:
      return "linear";
    case Zone::kNorm:
      return "norm";
    case Zone::kPyramidPool:
      return "pyramid_pool";
    case Zone::kSparseAttention:
      return "sparse_attention";
    case Zone::kCount:
      break;
  }
  return "?";
}

Profiler::Range::Range(const Profiler& profiler, const char* name) : marker_(profiler.marker_) {
  if (marker_ != nullptr) marker_->begin(name);
}

Profiler::Range::Range(const Profiler& profiler, const char* name, std::int64_t index)
    : marker_(profiler.marker_) {
  if (marker_ != nullptr) marker_->begin((std::string(name) + ' ' + std::to_string(index)).c_str());
}

}  // namespace psagen
