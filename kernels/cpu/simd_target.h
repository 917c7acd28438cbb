// Which instruction set the vectorised kernels run with. Normally the best the machine has; tests
// and measurements can ask for less.
#pragma once

namespace psagen::kernels::cpu {

enum class SimdTarget { kBest, kAvx2, kBaseline };

// Makes every kernel of the process run with at most this target. For tests: not to be called
// while an op runs.
void limit_simd_target(SimdTarget target);

// Fixes the target for what runs from now on; made once per back end, so that no kernel call has
// to.
void choose_simd_target();

// Name of the target in use, as Highway spells it ("AVX3", "AVX2", "SCALAR").
const char* simd_target_name();

}  // namespace psagen::kernels::cpu
