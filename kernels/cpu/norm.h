// Normalisations over the last dimension (RMS, layer, channel), float32 sums in vector lanes and
// double across lanes.
#pragma once

#include "kernels/ops.h"

namespace psagen::kernels::cpu {

void rms_norm(Context& context, const RmsNormArgs& args);
void layer_norm(Context& context, const LayerNormArgs& args);
void channel_norm(Context& context, const ChannelNormArgs& args);

}  // namespace psagen::kernels::cpu
