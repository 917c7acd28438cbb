#include "kernels/cuda/cudnn_convolution.h"

#include <algorithm>

#include "kernels/core/error.h"

namespace psagen::kernels::cuda {
namespace {

using Shared = CudnnDescriptor::Shared;

// Names of the tensors within a graph.
enum TensorId : std::int64_t { kX = 1, kWeight, kBias, kResidual, kY, kSums, kSumsAndResidual };

cudnnDataType_t data_type(DType dtype) {
  PSAGEN_CHECK(dtype == DType::kBF16 || dtype == DType::kF16, ErrorCode::kInternal,
               "cuDNN was asked for ", dtype_name(dtype));
  return dtype == DType::kBF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
}

using Extents = std::array<std::int64_t, 5>;  // batch or output channels, channels, T, H, W

Extents extents(std::int64_t first, std::int64_t channels,
                const std::array<std::int64_t, 3>& volume) {
  return {first, channels, volume[0], volume[1], volume[2]};
}

// Channels last.
Extents strides(const Extents& dims) {
  const std::int64_t pixel = dims[1], row = dims[4] * pixel, frame = dims[3] * row;
  return {dims[2] * frame, 1, frame, row, pixel};
}

Shared tensor(const CudnnLibrary& library, TensorId id, cudnnDataType_t type, const Extents& dims) {
  constexpr std::int64_t kAlignment = 16;
  const bool is_virtual = id == kSums || id == kSumsAndResidual;
  const Extents steps = strides(dims);
  const Shared result = CudnnDescriptor::make(library, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  result->set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, std::int64_t{id})
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 5, dims.data())
      .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 5, steps.data())
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, kAlignment)
      .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, is_virtual)
      .finalize();
  return result;
}

Shared convolution(const CudnnLibrary& library, const ConvolutionSpec& spec) {
  constexpr std::array<std::int64_t, 3> kOnes = {1, 1, 1};
  const Shared result = CudnnDescriptor::make(library, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  result->set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, std::int64_t{3})
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 3, kOnes.data())
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 3, kOnes.data())
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 3, spec.pad_before.data())
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 3, spec.pad_after.data())
      .finalize();
  return result;
}

Shared convolve(const CudnnLibrary& library, const Shared& how, const Shared& x,
                const Shared& weight, const Shared& y) {
  const Shared result =
      CudnnDescriptor::make(library, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  result->set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, weight)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1.0f)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 0.0f)
      .finalize();
  return result;
}

Shared add(const CudnnLibrary& library, const Shared& a, const Shared& b, const Shared& y) {
  const Shared how = CudnnDescriptor::make(library, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  how->set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, CUDNN_POINTWISE_ADD)
      .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .finalize();
  const Shared result =
      CudnnDescriptor::make(library, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  result->set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, a)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y)
      .finalize();
  return result;
}

// False inside where cuDNN does not know such a graph.
Shared make_graph(const CudnnLibrary& library, cudnnHandle_t handle, const ConvolutionSpec& spec) {
  const cudnnDataType_t type = data_type(spec.dtype);
  const Extents y_dims = extents(1, spec.out_channels, spec.out());
  const Shared x = tensor(library, kX, type, extents(1, spec.in_channels, spec.in));
  const Shared weight =
      tensor(library, kWeight, type, extents(spec.out_channels, spec.in_channels, spec.kernel));
  const Shared bias = tensor(library, kBias, type, extents(1, spec.out_channels, {1, 1, 1}));
  const Shared y = tensor(library, kY, type, y_dims);
  Shared sums = tensor(library, kSums, CUDNN_DATA_FLOAT, y_dims);

  std::vector<Shared> operations = {convolve(library, convolution(library, spec), x, weight, sums)};
  if (spec.residual) {
    const Shared residual = tensor(library, kResidual, type, y_dims);
    const Shared with_residual = tensor(library, kSumsAndResidual, CUDNN_DATA_FLOAT, y_dims);
    operations.push_back(add(library, sums, residual, with_residual));
    sums = with_residual;
  }
  operations.push_back(add(library, sums, bias, y));
  const Shared graph = CudnnDescriptor::make(library, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph->set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations)
      .set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle)
      .finalize();
  return graph;
}

// Engine configurations that the heuristics of one mode propose, best first.
std::vector<Shared> proposals(const CudnnLibrary& library, const Shared& graph,
                              cudnnBackendHeurMode_t mode) {
  constexpr int kMost = 32;
  const Shared heuristics = CudnnDescriptor::make(library, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics->set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode)
      .finalize();
  return heuristics->get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, kMost);
}

// Whether the engine gives the same bits every time, and sums in float32.
bool is_exact(const Shared& config) {
  const std::vector<Shared> engines =
      config->get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  if (engines.empty()) return false;
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes{};
  const std::int64_t count =
      engines.front()->get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                           static_cast<std::int64_t>(notes.size()), notes.data());
  return std::all_of(notes.begin(), notes.begin() + count, [](cudnnBackendNumericalNote_t note) {
    return note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP;
  });
}

}  // namespace

std::array<std::int64_t, 3> ConvolutionSpec::out() const {
  std::array<std::int64_t, 3> result{};
  for (std::size_t i = 0; i < 3; ++i)
    result[i] = in[i] + pad_before[i] + pad_after[i] - kernel[i] + 1;
  return result;
}

CudnnDescriptor::CudnnDescriptor(const CudnnLibrary& library, cudnnBackendDescriptorType_t type)
    : library_(&library), good_(library.create_descriptor(type, &raw_) == CUDNN_STATUS_SUCCESS) {}

CudnnDescriptor::~CudnnDescriptor() {
  if (raw_ != nullptr) library_->destroy_descriptor(raw_);
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name,
                                      cudnnBackendAttributeType_t type, std::int64_t count,
                                      const void* values) {
  good_ = good_ && library_->set_attribute(raw_, name, type, count, values) == CUDNN_STATUS_SUCCESS;
  return *this;
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name,
                                      const std::vector<Shared>& parts) {
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const Shared& part : parts) {
    good_ = good_ && part->good_;
    raw.push_back(part->raw_);
    parts_.push_back(part);
  }
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(raw.size()),
             raw.data());
}

CudnnDescriptor& CudnnDescriptor::finalize() {
  good_ = good_ && library_->finalize(raw_) == CUDNN_STATUS_SUCCESS;
  return *this;
}

std::int64_t CudnnDescriptor::get(cudnnBackendAttributeName_t name,
                                  cudnnBackendAttributeType_t type, std::int64_t count,
                                  void* values) const {
  std::int64_t found = 0;
  if (!good_ ||
      library_->get_attribute(raw_, name, type, count, &found, values) != CUDNN_STATUS_SUCCESS)
    return 0;
  return std::clamp<std::int64_t>(found, 0, count);
}

std::vector<Shared> CudnnDescriptor::get(cudnnBackendAttributeName_t name,
                                         cudnnBackendDescriptorType_t type, int most) const {
  std::vector<Shared> results;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int i = 0; i < most; ++i) {
    results.push_back(make(*library_, type));
    raw.push_back(results.back()->raw_);
  }
  results.resize(
      static_cast<std::size_t>(get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, raw.data())));
  return results;
}

std::shared_ptr<const CudnnPlan> CudnnPlan::make(const CudnnLibrary& library, cudnnHandle_t handle,
                                                 const Shared& graph, const Shared& config) {
  const Shared plan = CudnnDescriptor::make(library, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan->set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle)
      .set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config)
      .finalize();
  std::int64_t bytes = 0;
  if (plan->get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &bytes) != 1)
    return nullptr;
  std::shared_ptr<CudnnPlan> result(new CudnnPlan(library, handle));
  result->workspace_bytes_ = static_cast<std::size_t>(std::max<std::int64_t>(bytes, 0));
  result->graph_ = graph;
  result->config_ = config;
  result->plan_ = plan;
  return result;
}

EngineChoice CudnnPlan::choice() const {
  EngineChoice choice;
  const std::vector<Shared> engines =
      config_->get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  if (!engines.empty())
    engines.front()->get(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &choice.engine);
  for (const Shared& knob :
       config_->get(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
                    CUDNN_KNOB_TYPE_COUNTS)) {
    cudnnBackendKnobType_t type{};
    std::int64_t value = 0;
    knob->get(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
    knob->get(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value);
    choice.knobs.emplace_back(type, value);
  }
  return choice;
}

cudnnStatus_t CudnnPlan::execute(const ConvolutionPointers& pointers, void* workspace) const {
  std::vector<std::int64_t> ids = {kX, kWeight, kBias, kY};
  // cuDNN takes pointers to what it only reads as void* too.
  std::vector<void*> data = {const_cast<void*>(pointers.x), const_cast<void*>(pointers.weight),
                             const_cast<void*>(pointers.bias), pointers.y};
  if (pointers.residual != nullptr) {
    ids.push_back(kResidual);
    data.push_back(const_cast<void*>(pointers.residual));
  }
  const auto count = static_cast<std::int64_t>(ids.size());
  CudnnDescriptor pack(library_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids.data())
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, data.data())
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace)
      .finalize();
  return pack ? library_.execute(handle_, plan_->raw(), pack.raw()) : CUDNN_STATUS_BAD_PARAM;
}

std::vector<std::shared_ptr<const CudnnPlan>> propose_plans(const CudnnLibrary& library,
                                                            cudnnHandle_t handle,
                                                            const ConvolutionSpec& spec,
                                                            std::size_t most_workspace,
                                                            int most_plans) {
  std::vector<std::shared_ptr<const CudnnPlan>> plans;
  const Shared graph = make_graph(library, handle, spec);
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    for (const Shared& config : proposals(library, graph, mode)) {
      if (static_cast<int>(plans.size()) >= most_plans) return plans;
      if (!is_exact(config)) continue;
      std::shared_ptr<const CudnnPlan> plan = CudnnPlan::make(library, handle, graph, config);
      if (plan != nullptr && plan->workspace_bytes() <= most_workspace)
        plans.push_back(std::move(plan));
    }
    if (!plans.empty()) break;
  }
  return plans;
}

std::shared_ptr<const CudnnPlan> plan_of_choice(const CudnnLibrary& library, cudnnHandle_t handle,
                                                const ConvolutionSpec& spec,
                                                const EngineChoice& choice) {
  const Shared graph = make_graph(library, handle, spec);
  const Shared engine = CudnnDescriptor::make(library, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine->set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, choice.engine)
      .finalize();
  std::vector<Shared> knobs;
  for (const auto& [type, value] : choice.knobs) {
    knobs.push_back(CudnnDescriptor::make(library, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR));
    knobs.back()
        ->set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, type)
        .set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, value)
        .finalize();
  }
  const Shared config = CudnnDescriptor::make(library, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  config->set(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  if (!knobs.empty()) config->set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, knobs);
  config->finalize();
  return CudnnPlan::make(library, handle, graph, config);
}

}  // namespace psagen::kernels::cuda
