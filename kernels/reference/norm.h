// RMS, layer and channel norm over the last dimension.
#pragma once

#include <vector>

#include "kernels/ops.h"

namespace psagen::kernels::reference {

template <typename Real>
std::vector<Real> rms_norm(const RmsNormArgs& args);
template <typename Real>
std::vector<Real> layer_norm(const LayerNormArgs& args);
// The residual stream x and what follows from it, h.
template <typename Real>
struct ResidualNorm {
  std::vector<Real> x, h;
};
template <typename Real>
ResidualNorm<Real> residual_norm(const ResidualNormArgs& args);
template <typename Real>
std::vector<Real> channel_norm(const ChannelNormArgs& args);

}  // namespace psagen::kernels::reference
