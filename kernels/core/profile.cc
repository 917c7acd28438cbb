#include "kernels/core/profile.h"

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

}  // namespace psagen
