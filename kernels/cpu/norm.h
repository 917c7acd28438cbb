// Normalisations over the last dimension: RMS, layer, channel.
#pragma once

#include "kernels/ops.h"

namespace psagen::kernels::cpu {

void rms_norm(Context& context, const RmsNormArgs& args);
void layer_norm(Context& context, const LayerNormArgs& args);
void residual_norm(Context& context, const ResidualNormArgs& args);
void channel_norm(Context& context, const ChannelNormArgs& args);

}  // namespace psagen::kernels::cpu
