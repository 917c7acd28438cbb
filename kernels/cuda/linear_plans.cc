// The first use of a shape asks cuBLASLt for algorithms and times them on the operands themselves,
// and some that it has but does not name; the fastest is kept, and found again by later runs where
// the context has a store for it (an algorithm is 64 opaque bytes, good for the same version of the
// library). Small products take the first one: timing them costs more than it saves.
//
// Algorithms that add partial sums in the type of the output come last, where there are no others:
// a 16-bit result is rounded more than once by them.
#include "kernels/cuda/linear_plans.h"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <vector>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/kept_on_host.h"
#include "kernels/cuda/tuned_choices.h"

namespace psagen::kernels::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
constexpr std::uintptr_t kMaxAlignment = 256;  // the most cuBLASLt asks for
constexpr int kCandidates = 64;
constexpr double kMeasuredWork = 1e9;  // floating-point operations from which on timing pays
constexpr float kMeasuredMilliseconds = 2.0f;
constexpr int kMaxRepeats = 20;
constexpr float kHopeless = 1.3f;  // times the best so far: not timed again

// Kernels for Hopper in which one warpgroup writes its tile while another multiplies ("ping-pong"),
// so that the epilogue costs no time of the matrix units. cuBLASLt's heuristics do not name them;
// where the depth is short or the epilogue long they take 0.84 to 0.97 of the time of the best that
// those name (docs/benchmarks/gpu.md). The numbers of algorithm and option are the library's own.
// Another version, or another GPU, may lack them or mean something else by them: each is checked by
// the library, and timed like the rest.
constexpr int kHopperAlgorithm = 66;
struct Configuration {
  cublasLtMatmulTile_t tile;
  cublasLtClusterShape_t cluster;
  std::uint32_t option;
};
constexpr Configuration kPingPong[] = {
    {CUBLASLT_MATMUL_TILE_128x144, CUBLASLT_CLUSTER_SHAPE_2x1x1, 1},
    {CUBLASLT_MATMUL_TILE_128x152, CUBLASLT_CLUSTER_SHAPE_2x1x1, 1},
    {CUBLASLT_MATMUL_TILE_128x160, CUBLASLT_CLUSTER_SHAPE_2x1x1, 1},
    {CUBLASLT_MATMUL_TILE_128x168, CUBLASLT_CLUSTER_SHAPE_2x1x1, 1},
    {CUBLASLT_MATMUL_TILE_128x144, CUBLASLT_CLUSTER_SHAPE_1x2x1, 3},
    {CUBLASLT_MATMUL_TILE_128x168, CUBLASLT_CLUSTER_SHAPE_1x2x1, 3},
    {CUBLASLT_MATMUL_TILE_192x112, CUBLASLT_CLUSTER_SHAPE_1x2x1, 3},
};

using Algorithm = cublasLtMatmulHeuristicResult_t;

struct Plan {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t a, b, c, d;
  std::vector<Algorithm> algorithms;  // the best first, as far as is known
  bool measured = false;
};

// All that an algorithm depends on.
using PlanKey = std::array<std::int64_t, 17>;

std::int64_t alignment(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer) | kMaxAlignment;
  return static_cast<std::int64_t>(address & (~address + 1));
}

PlanKey key_of(const MatrixProduct& p) {
  std::int64_t alignments = 0;
  for (const void* pointer : {p.a, p.b, p.c, static_cast<const void*>(p.d)})
    alignments = alignments * 2 * static_cast<std::int64_t>(kMaxAlignment) + alignment(pointer);
  return {static_cast<std::int64_t>(p.dtype),
          static_cast<std::int64_t>(p.d_dtype),
          p.transpose_a ? 1 : 0,
          p.m,
          p.n,
          p.k,
          p.a_stride,
          p.b_stride,
          p.c != nullptr ? p.c_stride : 0,
          p.d_stride,
          p.count,
          p.a_step,
          p.b_step,
          p.d_step,
          static_cast<std::int64_t>(p.epilogue),
          p.c != nullptr ? 1 : 0,
          alignments};
}

cudaDataType_t data_type(DType dtype) {
  if (dtype == DType::kBF16) return CUDA_R_16BF;
  return dtype == DType::kF16 ? CUDA_R_16F : CUDA_R_32F;
}

bool has_bias(cublasLtEpilogue_t epilogue) { return (epilogue & CUBLASLT_EPILOGUE_BIAS) != 0; }

template <typename T>
void set(Plan& plan, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  PSAGEN_CUDA(cublasLtMatmulDescSetAttribute(&plan.operation, attribute, &value, sizeof(value)));
}

template <typename T>
void set(cublasLtMatrixLayoutOpaque_t& layout, cublasLtMatrixLayoutAttribute_t attribute,
         const T& value) {
  PSAGEN_CUDA(cublasLtMatrixLayoutSetAttribute(&layout, attribute, &value, sizeof(value)));
}

template <typename T>
void set(cublasLtMatmulPreferenceOpaque_t& preference,
         cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  PSAGEN_CUDA(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof(value)));
}

void set_layout(cublasLtMatrixLayoutOpaque_t& layout, DType dtype, std::int64_t rows,
                std::int64_t columns, std::int64_t stride, std::int64_t count, std::int64_t step) {
  PSAGEN_CUDA(cublasLtMatrixLayoutInit(&layout, data_type(dtype), static_cast<std::uint64_t>(rows),
                                       static_cast<std::uint64_t>(columns), stride));
  if (count == 1) return;
  set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(count));
  set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, step);
}

void describe(const MatrixProduct& p, Plan& plan) {
  PSAGEN_CUDA(cublasLtMatmulDescInit(&plan.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  if (p.transpose_a) set(plan, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(plan, CUBLASLT_MATMUL_DESC_EPILOGUE, p.epilogue);
  if (has_bias(p.epilogue)) set(plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  const std::int64_t a_rows = p.transpose_a ? p.k : p.m, a_columns = p.transpose_a ? p.m : p.k;
  set_layout(plan.a, p.dtype, a_rows, a_columns, p.a_stride, p.count, p.a_step);
  set_layout(plan.b, p.dtype, p.k, p.n, p.b_stride, p.count, p.b_step);
  set_layout(plan.d, p.d_dtype, p.m, p.n, p.d_stride, p.count, p.d_step);
  plan.c = plan.d;
  if (p.c != nullptr) set_layout(plan.c, p.d_dtype, p.m, p.n, p.c_stride, 1, 0);
}

void find_algorithms(cublasLtHandle_t handle, const MatrixProduct& p, std::uint32_t reductions,
                     Plan& plan) {
  cublasLtMatmulPreferenceOpaque_t preference;
  PSAGEN_CUDA(cublasLtMatmulPreferenceInit(&preference));
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes});
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions);
  const auto set_alignment = [&](auto attribute, const void* pointer) {
    set(preference, attribute, static_cast<std::uint32_t>(alignment(pointer)));
  };
  set_alignment(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, p.a);
  set_alignment(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, p.b);
  set_alignment(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, p.c != nullptr ? p.c : p.d);
  set_alignment(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, p.d);
  std::array<Algorithm, kCandidates> found{};
  int count = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, &plan.operation, &plan.a, &plan.b, &plan.c, &plan.d,
                                     &preference, kCandidates, found.data(), &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return;
  PSAGEN_CUDA(status);
  for (int i = 0; i < count; ++i)
    if (found[i].state == CUBLAS_STATUS_SUCCESS) plan.algorithms.push_back(found[i]);
}

// Bulk copies want every row on a multiple of 16 bytes, which the library's check does not look at.
bool rows_are_aligned(const MatrixProduct& p) {
  constexpr std::int64_t kBytes = 16;
  const auto are = [](const void* pointer, std::int64_t stride, DType dtype) {
    return alignment(pointer) % kBytes == 0 &&
           stride * static_cast<std::int64_t>(dtype_size(dtype)) % kBytes == 0;
  };
  return are(p.a, p.a_stride, p.dtype) && are(p.b, p.b_stride, p.dtype) &&
         are(p.d, p.d_stride, p.d_dtype) && (p.c == nullptr || are(p.c, p.c_stride, p.d_dtype));
}

// Adds those of kPingPong that this library has for this product and GPU.
void add_ping_pong(cublasLtHandle_t handle, const MatrixProduct& p, Plan& plan) {
  if (p.dtype == DType::kF32 || p.count > 1 || !rows_are_aligned(p)) return;
  const cudaDataType_t in = data_type(p.dtype), out = data_type(p.d_dtype);
  cublasLtMatmulAlgo_t algorithm;
  if (cublasLtMatmulAlgoInit(handle, CUBLAS_COMPUTE_32F, CUDA_R_32F, in, in, out, out,
                             kHopperAlgorithm, &algorithm) != CUBLAS_STATUS_SUCCESS)
    return;
  const auto is_set = [&](cublasLtMatmulAlgoConfigAttributes_t attribute, auto value) {
    return cublasLtMatmulAlgoConfigSetAttribute(&algorithm, attribute, &value, sizeof(value)) ==
           CUBLAS_STATUS_SUCCESS;
  };
  for (const auto& [tile, cluster, option] : kPingPong) {
    Algorithm checked{};
    if (is_set(CUBLASLT_ALGO_CONFIG_TILE_ID, static_cast<std::uint32_t>(tile)) &&
        is_set(CUBLASLT_ALGO_CONFIG_STAGES_ID, std::uint32_t{CUBLASLT_MATMUL_STAGES_64xAUTO}) &&
        is_set(CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, static_cast<std::uint16_t>(cluster)) &&
        is_set(CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, option) &&
        cublasLtMatmulAlgoCheck(handle, &plan.operation, &plan.a, &plan.b, &plan.c, &plan.d,
                                &algorithm, &checked) == CUBLAS_STATUS_SUCCESS &&
        checked.workspaceSize <= kWorkspaceBytes) {
      checked.algo = algorithm;
      plan.algorithms.push_back(checked);
    }
  }
}

cublasStatus_t launch(CudaRuntime& runtime, Plan& plan, const MatrixProduct& p,
                      const Algorithm& algorithm, void* scratch) {
  const float beta = p.c != nullptr ? 1.0f : 0.0f;
  return cublasLtMatmul(runtime.cublas(), &plan.operation, &p.alpha, p.a, &plan.a, p.b, &plan.b,
                        &beta, p.c != nullptr ? p.c : p.d, &plan.c, p.d, &plan.d, &algorithm.algo,
                        scratch, algorithm.workspaceSize, runtime.stream());
}

// Two events on the runtime's stream.
class StreamTimer {
 public:
  explicit StreamTimer(cudaStream_t stream) : stream_(stream) {
    PSAGEN_CUDA(cudaEventCreate(&begin_));
    PSAGEN_CUDA(cudaEventCreate(&end_));
  }
  ~StreamTimer() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  StreamTimer(const StreamTimer&) = delete;
  StreamTimer& operator=(const StreamTimer&) = delete;

  // Milliseconds of what `work` queues.
  template <typename Work>
  float time(const Work& work) {
    PSAGEN_CUDA(cudaEventRecord(begin_, stream_));
    work();
    PSAGEN_CUDA(cudaEventRecord(end_, stream_));
    PSAGEN_CUDA(cudaEventSynchronize(end_));
    float milliseconds = 0.0f;
    PSAGEN_CUDA(cudaEventElapsedTime(&milliseconds, begin_, end_));
    return milliseconds;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

// Keeps the fastest algorithm only; none where all of them failed.
void keep_fastest(CudaRuntime& runtime, const MatrixProduct& p, void* scratch, Plan& plan) {
  StreamTimer timer(runtime.stream());
  float best = 0.0f;
  std::vector<Algorithm> kept;
  for (const Algorithm& algorithm : plan.algorithms) {
    // The first launch also loads the kernel.
    if (launch(runtime, plan, p, algorithm, scratch) != CUBLAS_STATUS_SUCCESS) continue;
    const auto run = [&] { PSAGEN_CUDA(launch(runtime, plan, p, algorithm, scratch)); };
    float time = timer.time(run);
    if (!kept.empty() && time > kHopeless * best) continue;
    const int repeats =
        std::clamp(static_cast<int>(kMeasuredMilliseconds / std::max(time, 1e-3f)), 2, kMaxRepeats);
    time = timer.time([&] {
      for (int i = 0; i < repeats; ++i) run();
    }) / static_cast<float>(repeats);
    if (!kept.empty() && time >= best) continue;
    best = time;
    kept.assign(1, algorithm);
  }
  plan.algorithms = std::move(kept);
}

// What a result is added to and overwrites is as before afterwards.
void measure(CudaRuntime& runtime, const MatrixProduct& p, void* scratch, Plan& plan) {
  const std::size_t bytes =
      static_cast<std::size_t>((p.n - 1) * p.d_stride + p.m) * dtype_size(p.d_dtype);
  KeptOnHost kept(runtime.stream(), p.d, p.c == p.d ? bytes : 0);
  keep_fastest(runtime, p, scratch, plan);
  kept.restore();
}

// The 64 bytes of an algorithm as a store keeps them.
using AlgorithmNumbers = std::array<std::int64_t, 8>;
static_assert(sizeof(AlgorithmNumbers) == sizeof(cublasLtMatmulAlgo_t));

TuningStore::Choice choice_of(const Algorithm& algorithm) {
  const auto numbers = std::bit_cast<AlgorithmNumbers>(algorithm.algo);
  return {numbers.begin(), numbers.end()};
}

// Takes what an earlier run measured, where it still serves.
void recall(cublasLtHandle_t handle, const std::optional<TuningStore::Choice>& choice, Plan& plan) {
  AlgorithmNumbers numbers{};
  if (!choice || choice->size() != numbers.size()) return;
  std::copy(choice->begin(), choice->end(), numbers.begin());
  Algorithm algorithm{};
  algorithm.algo = std::bit_cast<cublasLtMatmulAlgo_t>(numbers);
  cublasLtMatmulHeuristicResult_t found{};
  const cublasStatus_t status = cublasLtMatmulAlgoCheck(handle, &plan.operation, &plan.a, &plan.b,
                                                        &plan.c, &plan.d, &algorithm.algo, &found);
  if (status != CUBLAS_STATUS_SUCCESS || found.workspaceSize > kWorkspaceBytes) return;
  algorithm.workspaceSize = found.workspaceSize;
  plan.algorithms.assign(1, algorithm);
  plan.measured = true;
}

bool is_capturing(cudaStream_t stream) {
  cudaStreamCaptureStatus status;
  PSAGEN_CUDA(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

void* take_scratch(Workspace::Scope& memory, const Plan& plan) {
  std::size_t bytes = 0;
  for (const Algorithm& algorithm : plan.algorithms)
    bytes = std::max(bytes, algorithm.workspaceSize);
  if (bytes == 0) return nullptr;
  const auto address =
      reinterpret_cast<std::uintptr_t>(memory.take<std::byte>(bytes + kMaxAlignment));
  return reinterpret_cast<void*>((address + kMaxAlignment - 1) / kMaxAlignment * kMaxAlignment);
}

}  // namespace

struct LinearPlans::Impl {
  CudaRuntime& runtime;
  TunedChoices tuned;
  std::map<PlanKey, Plan> plans{};
};

LinearPlans::LinearPlans(CudaRuntime& runtime)
    : impl_(std::make_unique<Impl>(
          Impl{runtime,
               TunedChoices(runtime, concat("cublasLt ", cublasLtGetVersion(), " and ping-pong")),
               {}})) {}

LinearPlans::~LinearPlans() = default;

bool multiply(LinearPlans& plans, Workspace& workspace, const MatrixProduct& product) {
  LinearPlans::Impl& impl = plans.impl();
  CudaRuntime& runtime = impl.runtime;
  const PlanKey key = key_of(product);
  const auto [at, is_unknown] = impl.plans.try_emplace(key);
  Plan& plan = at->second;
  const double work = 2.0 * static_cast<double>(product.m * product.n) *
                      static_cast<double>(product.k * product.count);
  if (is_unknown) {
    describe(product, plan);
    if (work >= kMeasuredWork) recall(runtime.cublas(), impl.tuned.find(key), plan);
  }
  if (is_unknown && !plan.measured) {
    find_algorithms(runtime.cublas(), product, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, plan);
    if (plan.algorithms.empty())
      find_algorithms(runtime.cublas(), product, CUBLASLT_REDUCTION_SCHEME_MASK, plan);
  }
  if (plan.algorithms.empty()) return false;
  if (is_unknown && !plan.measured && work >= kMeasuredWork)
    add_ping_pong(runtime.cublas(), product, plan);
  if (has_bias(product.epilogue)) set(plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias);
  Workspace::Scope memory(workspace);
  void* const scratch = take_scratch(memory, plan);
  if (!plan.measured && work >= kMeasuredWork && plan.algorithms.size() > 1 &&
      !is_capturing(runtime.stream())) {
    measure(runtime, product, scratch, plan);
    plan.measured = true;
    if (plan.algorithms.empty()) return false;
    impl.tuned.keep(key, choice_of(plan.algorithms.front()));
  }
  PSAGEN_CUDA(launch(runtime, plan, product, plan.algorithms.front(), scratch));
  return true;
}

}  // namespace psagen::kernels::cuda
