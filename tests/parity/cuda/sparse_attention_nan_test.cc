// NaN in sparse attention on the GPU: health checks look at what comes out.
#include <cmath>
#include <limits>

#include "tests/parity/cuda/sparse_attention_fixture.h"

namespace psagen::kernels {
namespace {

class SparseAttentionNanCuda : public SparseAttentionCuda {};

// What went wrong before is seen behind, and only there. Every other row skips the block in
// question, and there are more rows than multiprocessors: shared memory has held it by then.
TEST_P(SparseAttentionNanCuda, NanIsSeenByThoseThatReadIt) {
  constexpr std::int64_t kChannel = 5;
  constexpr int kLevelOfRow[] = {1, 0, 2, 0, 4, 0, 8};
  const auto level_of = [&](std::int64_t row) { return kLevelOfRow[row % 7]; };
  // In a whole block or in the last one, by head.
  const auto token_of = [](std::int64_t head) { return head % 2 == 0 ? 50 : 139; };
  for (const int key_block : {128, 64, 32})
    for (const std::int64_t depth : {64, 128}) {
      SparseCall call({.tokens = 140,
                       .heads = dtype() == DType::kF32 ? 14 : 140,
                       .depth = depth,
                       .key_block = key_block},
                      dtype(), 80);
      call.set_levels([&](std::int64_t row, std::int64_t block) {
        return block == token_of(row / 2) / key_block ? level_of(row) : call.any_level(false);
      });
      for (const int part : {0, 1, 2}) {  // of q, of k, of v
        const auto value = [&](std::int64_t, std::int64_t t, std::int64_t n, std::int64_t d) {
          return t == token_of(n) && d == kChannel ? std::numeric_limits<double>::quiet_NaN()
                                                   : call.real(-2.0, 2.0);
        };
        call.fill(part, value);
        for (const bool portable : {false, true}) {
          const Result result = run(call, portable);
          for (std::int64_t n = 0; n < call.size.heads; ++n)
            for (std::int64_t t = 0; t < call.size.tokens; ++t) {
              const bool reads =
                  part == 0 ? t == token_of(n) : level_of(2 * n + t / call.size.query_block) != 0;
              const auto where = [&] {
                return concat(call.size, portable ? ", portable" : "", ", part ", part, ", head ",
                              n, ", token ", t);
              };
              ASSERT_EQ(
                  std::isfinite(result.lse[static_cast<std::size_t>(n * call.size.tokens + t)]),
                  part == 2 || !reads)
                  << where();
              for (std::int64_t d = 0; d < depth; ++d)
                ASSERT_EQ(std::isfinite(result.out[call.index(0, t, n, d)]),
                          !reads || (part == 2 && d != kChannel))
                    << where() << ", channel " << d;
            }
        }
        call.fill(part, [&](auto...) { return call.real(-2.0, 2.0); });
      }
    }
}

PSAGEN_CUDA_PARITY(SparseAttentionNanCuda);

}  // namespace
}  // namespace psagen::kernels
