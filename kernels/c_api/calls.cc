#include "kernels/c_api/calls.h"

#include "kernels/core/error.h"
#include "kernels/psa/pyramid_buffers.h"
#include "kernels/psa/pyramid_sparse_attention.h"

namespace psagen::kernels {
namespace {

// The tensors of a call, checked for what can be known of a pointer.
struct Views {
  Views(const Ops& ops, const AttentionProblem& problem, const CallerTensors& tensors)
      : device(ops.context().device()) {
    q = heads("q", tensors.q, problem.scored, problem, problem.q);
    k = heads("k", tensors.k, problem.scored, problem, problem.k);
    v = heads("v", tensors.v, problem.summed, problem, problem.v);
    const ConstTensorView result = heads("out", tensors.out, problem.summed, problem, problem.out);
    out = TensorView(static_cast<std::byte*>(tensors.out), result.dtype(), result.shape(),
                     result.strides(), device);
    const Shape& shape = problem.heads;
    if (tensors.lse != nullptr)
      lse = optional("lse", tensors.lse, DType::kF32, {shape[0], shape[2], shape[1]});
  }

  TensorView optional(const char* name, void* pointer, DType dtype, const Shape& shape) const {
    if (pointer == nullptr) return {};
    check(name, pointer, dtype);
    return {static_cast<std::byte*>(pointer), dtype, shape, device};
  }
  ConstTensorView heads(const char* name, const void* pointer, DType dtype,
                        const AttentionProblem& problem, const Strides& strides) const {
    check(name, pointer, dtype);
    return {static_cast<const std::byte*>(pointer), dtype, problem.heads, strides, device};
  }
  static void check(const char* name, const void* pointer, DType dtype) {
    PSAGEN_CHECK(pointer != nullptr, ErrorCode::kInvalidArgument, name, " is null");
    PSAGEN_CHECK(reinterpret_cast<std::uintptr_t>(pointer) % dtype_size(dtype) == 0,
                 ErrorCode::kInvalidArgument, name, " begins at ", pointer,
                 "; wanted a multiple of its elements' ", dtype_size(dtype), " bytes");
  }

  Device device;
  ConstTensorView q, k, v;
  TensorView out, lse;
};

Shape head_pairs(const AttentionProblem& problem) { return {problem.heads[0], problem.heads[2]}; }

// On a GPU the numbers are out of reach.
void check_levels(const ConstTensorView& levels) {
  const std::uint8_t* const values = levels.data<std::uint8_t>();
  for (std::int64_t i = 0; i < levels.num_elements(); ++i)
    PSAGEN_CHECK(
        values[i] == 0 || values[i] == 1 || values[i] == 2 || values[i] == 4 || values[i] == 8,
        ErrorCode::kInvalidArgument, "levels[", i, "] is ", static_cast<int>(values[i]),
        "; wanted 0, 1, 2, 4 or 8");
}

// Work goes to the caller's stream while it lives.
class CallerQueue {
 public:
  CallerQueue(Context& context, void* stream)
      : runtime_(context.runtime()),
        before_(runtime_ == nullptr ? DeviceRuntime::Queue{}
                                    : runtime_->exchange_queue({stream, context.device().index})) {}
  ~CallerQueue() {
    if (runtime_ != nullptr) runtime_->exchange_queue(before_);
  }
  CallerQueue(const CallerQueue&) = delete;
  CallerQueue& operator=(const CallerQueue&) = delete;

 private:
  DeviceRuntime* runtime_;
  DeviceRuntime::Queue before_;
};

}  // namespace

CallerTensors absent_tensors() {
  LentMemory nowhere(Device{});
  CallerTensors tensors;
  void* const absent = nowhere.allocate(0);
  tensors.q = tensors.k = tensors.v = tensors.out = absent;
  tensors.given_levels = static_cast<const std::uint8_t*>(absent);
  return tensors;
}

void psa_call(Ops& ops, const psagen_desc& desc, const CallerTensors& tensors) {
  const AttentionProblem problem = read_problem(desc, ops.context().device());
  const PsaParams params = read_psa_params(desc);
  const Views views(ops, problem, tensors);
  const psagen_psa_report& report = tensors.report;
  const Shape per_head = head_pairs(problem);
  PyramidSparseAttention psa(ops, problem.heads, problem.scored, problem.summed, params);
  psa.forward(
      ops, views.q, views.k, views.v, problem.scale, {.seed = params.seed}, views.out, views.lse,
      {.nominal = views.optional("nominal_density", report.nominal_density, DType::kF32, per_head),
       .executed =
           views.optional("executed_density", report.executed_density, DType::kF32, per_head)});
  if (report.levels != nullptr && !ops.context().workspace().counts_only())
    ops.copy(psa.levels(),
             views.optional("levels", report.levels, DType::kU8, psa.levels().shape()));
}

void sparse_attention_call(Ops& ops, const psagen_desc& desc, const CallerTensors& tensors) {
  const AttentionProblem problem = read_problem(desc, ops.context().device());
  PsaParams params;
  params.query_block = desc.query_block;
  params.key_block = desc.key_block;
  validate(params);
  const Views views(ops, problem, tensors);
  const PyramidBuffers buffers(ops, problem.heads, problem.scored, problem.summed, params.key_block,
                               false);
  const Shape& heads = problem.heads;
  const Shape blocks = {heads[0], heads[2],
                        (heads[1] + params.query_block - 1) / params.query_block,
                        buffers.pyramid().shape.key_blocks()};
  views.check("levels", tensors.given_levels, DType::kU8);
  const ConstTensorView levels(reinterpret_cast<const std::byte*>(tensors.given_levels), DType::kU8,
                               blocks, views.device);
  if (views.device.kind == DeviceKind::kCpu && !ops.context().workspace().counts_only())
    check_levels(levels);
  ops.build_pyramid({.k = views.k, .v = views.v, .pyramid = buffers.pyramid()});
  ops.sparse_attention(
      {.q = views.q,
       .k = views.k,
       .v = views.v,
       .pyramid = buffers.pyramid(),
       .levels = levels,
       .order = {},
       .scale = problem.scale,
       .query_block = params.query_block,
       .out = views.out,
       .lse = views.lse,
       .executed_density = views.optional("executed_density", tensors.report.executed_density,
                                          DType::kF32, head_pairs(problem))});
}

void attention_call(Ops& ops, const psagen_desc& desc, const CallerTensors& tensors) {
  const AttentionProblem problem = read_problem(desc, ops.context().device());
  const Views views(ops, problem, tensors);
  ops.attention({.q = views.q,
                 .k = views.k,
                 .v = views.v,
                 .scale = problem.scale,
                 .out = views.out,
                 .lse = views.lse});
}

std::size_t count_workspace(Ops& ops, Call call, const psagen_desc& desc,
                            const CallerTensors& tensors) {
  LentMemory counted(ops.context().device());
  const Context::Loan loan(ops.context(), counted);
  call(ops, desc, tensors);
  return counted.wanted_bytes();
}

void run_in_workspace(Ops& ops, Call call, const psagen_desc& desc, const CallerTensors& tensors,
                      void* workspace, std::size_t workspace_bytes, void* stream) {
  const std::size_t wanted = count_workspace(ops, call, desc, tensors);
  PSAGEN_CHECK(workspace_bytes >= wanted, ErrorCode::kInvalidArgument, "workspace_bytes is ",
               workspace_bytes, "; this call wants ", wanted);
  PSAGEN_CHECK(workspace != nullptr || wanted == 0, ErrorCode::kInvalidArgument,
               "workspace is null; this call wants ", wanted, " bytes");
  LentMemory memory(ops.context().device(), workspace, workspace_bytes);
  const Context::Loan loan(ops.context(), memory);
  const CallerQueue queue(ops.context(), stream);
  call(ops, desc, tensors);
}

}  // namespace psagen::kernels
