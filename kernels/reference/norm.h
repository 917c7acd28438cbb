// RMS, layer and channel norm over the last dimension.
#pragma once

#include <vector>

#include "kernels/ops.h"

namespace psagen::kernels::reference {

template <typename Real>
std::vector<Real> rms_norm(const RmsNormArgs& args);
template <typename Real>
std::vector<Real> layer_norm(const LayerNormArgs& args);
template <typename Real>
std::vector<Real> channel_norm(const ChannelNormArgs& args);

}  // namespace psagen::kernels::reference
