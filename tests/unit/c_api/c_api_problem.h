// A problem on the CPU for the C interface: random q, k and v inside one fused projection.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/c_api/psagen.h"

namespace psagen::testing {

struct HandleDeleter {
  void operator()(psagen_handle* handle) const { psagen_destroy(handle); }
};
using Handle = std::unique_ptr<psagen_handle, HandleDeleter>;

inline Handle make_handle(const char* device = "cpu", int num_threads = 2) {
  psagen_handle* handle = nullptr;
  char message[256];
  EXPECT_EQ(psagen_create(device, num_threads, &handle, message, sizeof(message)), PSAGEN_OK)
      << message;
  return Handle(handle);
}

struct CApiProblem {
  static constexpr std::int64_t kBatch = 2, kTokens = 300, kHeads = 2, kDim = 64;
  static constexpr std::int64_t kWidth = 3 * kHeads * kDim;  // of a token's q, k and v

  CApiProblem() : qkv(kBatch * kTokens * kWidth), out(count()), lse(kBatch * kHeads * kTokens) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    for (float& value : qkv) value = normal(random);
    EXPECT_EQ(psagen_desc_init(&desc, sizeof(desc)), PSAGEN_OK);
    desc.batch = kBatch;
    desc.tokens = kTokens;
    desc.heads = kHeads;
    desc.head_dim = kDim;
    desc.q = desc.k = desc.v = {kTokens * kWidth, kWidth, kDim};
    desc.query_block = 64;
    desc.key_block = 32;
  }

  static constexpr std::int64_t count() { return kBatch * kTokens * kHeads * kDim; }
  std::int64_t query_blocks() const { return (kTokens + desc.query_block - 1) / desc.query_block; }
  std::int64_t key_blocks() const { return (kTokens + desc.key_block - 1) / desc.key_block; }
  std::size_t num_levels() const {
    return static_cast<std::size_t>(kBatch * kHeads * query_blocks() * key_blocks());
  }
  const float* q() const { return qkv.data(); }
  const float* k() const { return qkv.data() + kHeads * kDim; }
  const float* v() const { return qkv.data() + 2 * kHeads * kDim; }

  psagen_status psa(psagen_handle* handle, const psagen_psa_report* report = nullptr) {
    std::size_t bytes = 0;
    EXPECT_EQ(psagen_psa_workspace(handle, &desc, &bytes), PSAGEN_OK) << psagen_last_error(handle);
    workspace.assign(bytes, 0xff);
    return psagen_psa_forward(handle, &desc, q(), k(), v(), out.data(), lse.data(), report,
                              workspace.data(), workspace.size(), nullptr);
  }

  psagen_desc desc;
  std::vector<float> qkv, out, lse;
  std::vector<unsigned char> workspace;
};

}  // namespace psagen::testing
