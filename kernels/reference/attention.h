// out = softmax(scale q k' + bias + key_log_weight) v per head, and the softmax's ln-sum-exp.
#pragma once

#include <vector>

#include "kernels/ops.h"

namespace psagen::kernels::reference {

template <typename Real>
struct AttentionResult {
  std::vector<Real> out;  // [B, Lq, N, D]; zeros where every key is left out
  std::vector<Real> lse;  // [B, N, Lq]
};

template <typename Real>
AttentionResult<Real> attention(const AttentionArgs& args);

}  // namespace psagen::kernels::reference
