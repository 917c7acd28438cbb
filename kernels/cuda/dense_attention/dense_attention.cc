#include "kernels/cuda/dense_attention/dense_attention.h"

#include <limits>

#include "kernels/cuda/dense_attention/fused_attention.h"
#include "kernels/cuda/dense_attention/product_attention.h"

namespace psagen::kernels::cuda {
namespace {

std::int64_t query_blocks(const AttentionArgs& args) {
  return (args.q.dim(1) + kFusedQueries - 1) / kFusedQueries;
}

// Rows that vectors of 16 bytes and tensor maps can reach.
bool has_aligned_rows(const ConstTensorView& view) {
  if (reinterpret_cast<std::uintptr_t>(view.bytes()) % 16 != 0) return false;
  for (int axis = 0; axis < 3; ++axis)
    if (view.dim(axis) > 1 && (view.stride(axis) <= 0 || view.stride(axis) % 8 != 0)) return false;
  return true;
}

}  // namespace

bool fused_attention_takes(const AttentionArgs& args) {
  const auto is_16_bit = [](DType dtype) { return dtype == DType::kBF16 || dtype == DType::kF16; };
  const DType scored = args.q.dtype(), summed = args.v.dtype();
  if (!is_16_bit(scored) || !is_16_bit(summed)) return false;
  if (args.k.dtype() != scored || args.out.dtype() != summed) return false;
  if (scored == DType::kBF16 && summed == DType::kF16) return false;
  if (args.bias || !(args.scale > 0.0)) return false;
  if (args.q.dim(3) != 64 && args.q.dim(3) != 128) return false;
  for (const ConstTensorView& view : {args.q, args.k, args.v, ConstTensorView(args.out)})
    if (!has_aligned_rows(view)) return false;
  // Rows and jobs are counted in 32 bits; the Hopper kernel goes on counting past the last job.
  constexpr std::int64_t kLargest = std::numeric_limits<int>::max() / 2;
  return args.q.dim(1) < kLargest && args.k.dim(1) < kLargest &&
         args.q.dim(0) * args.q.dim(2) * query_blocks(args) < kLargest;
}

FusedProblem fused_problem(const AttentionArgs& args) {
  FusedProblem problem;
  if (args.key_log_weight) {
    problem.log_weight = args.key_log_weight.data<float>();
    problem.log_weight_stride = args.key_log_weight.stride(0);
  }
  if (args.lse) {
    problem.lse = args.lse.data<float>();
    problem.lse_batch_stride = args.lse.stride(0);
    problem.lse_head_stride = args.lse.stride(1);
    problem.lse_query_stride = args.lse.stride(2);
  }
  problem.queries = static_cast<int>(args.q.dim(1));
  problem.keys = static_cast<int>(args.k.dim(1));
  problem.heads = static_cast<int>(args.q.dim(2));
  problem.query_blocks = static_cast<int>(query_blocks(args));
  problem.jobs = static_cast<int>(args.q.dim(0) * args.q.dim(2) * query_blocks(args));
  problem.scale_log2 = static_cast<float>(args.scale * 1.4426950408889634);
  return problem;
}

void dense_attention(CudaRuntime& runtime, Workspace& workspace, LinearPlans& plans,
                     const AttentionArgs& args) {
  if (args.out.num_elements() == 0) return;
  const bool is_fused = fused_attention_takes(args);
  // Products choose their algorithms by measurement, for which they allocate and wait.
  PSAGEN_CHECK(
      is_fused || !workspace.is_lent(), ErrorCode::kUnsupported, "attention: q is ",
      dtype_name(args.q.dtype()), " and v ", dtype_name(args.v.dtype()), " with a head dim of ",
      args.q.dim(3),
      ", which the GPU's fused kernels do not take; they want F16 or BF16 (v BF16 where q is),"
      " a head dim of 64 or 128 and rows on multiples of 16 bytes");
  if (!is_fused) return product_attention(runtime, workspace, plans, args);
  if (runtime.use_hopper_kernels()) return hopper_attention(runtime, workspace, args);
  if (!workspace.counts_only()) portable_attention(runtime, args);
}

}  // namespace psagen::kernels::cuda
