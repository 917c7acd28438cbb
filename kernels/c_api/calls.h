// The calls of psagen.h on checked problems. Each is asked twice: with memory that only counts, for
// what it takes, and with the caller's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/c_api/description.h"
#include "kernels/ops.h"

namespace psagen::kernels {

// Memory of the device as the caller gives it; null where there is none.
struct CallerTensors {
  const void* q = nullptr;
  const void* k = nullptr;
  const void* v = nullptr;
  void* out = nullptr;
  float* lse = nullptr;
  const std::uint8_t* given_levels = nullptr;
  psagen_psa_report report = {};
};

// Stand-ins for a call that only counts: never read.
CallerTensors absent_tensors();

void psa_call(Ops& ops, const psagen_desc& desc, const CallerTensors& tensors);
void sparse_attention_call(Ops& ops, const psagen_desc& desc, const CallerTensors& tensors);
void attention_call(Ops& ops, const psagen_desc& desc, const CallerTensors& tensors);

using Call = void (*)(Ops& ops, const psagen_desc& desc, const CallerTensors& tensors);

// How much workspace the call takes. Computes nothing.
std::size_t count_workspace(Ops& ops, Call call, const psagen_desc& desc,
                            const CallerTensors& tensors);

// Makes the call in this workspace and, on a GPU, on this stream.
void run_in_workspace(Ops& ops, Call call, const psagen_desc& desc, const CallerTensors& tensors,
                      void* workspace, std::size_t workspace_bytes, void* stream);

}  // namespace psagen::kernels
