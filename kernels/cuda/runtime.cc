#include "kernels/cuda/runtime.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/cudnn_library.h"
#include "kernels/cuda/event_clock.h"
#include "kernels/cuda/module.h"
#include "kernels/cuda/nvtx_ranges.h"
#include "kernels/cuda/rearrange.h"

namespace psagen::kernels::cuda {
namespace {

// Stream-ordered: memory given back is taken again by work that the stream does later, and stays
// with the process until it ends.
class StreamAllocator final : public Allocator {
 public:
  StreamAllocator(Device device, cudaStream_t stream) : device_(device), stream_(stream) {
    PSAGEN_CUDA(cudaDeviceGetDefaultMemPool(&pool_, device.index));
  }

  Device device() const override { return device_; }

  void* allocate(std::size_t bytes) override {
    if (!keeps_) keep_memory();
    void* pointer = nullptr;
    cudaError_t status = cudaMallocAsync(&pointer, std::max<std::size_t>(bytes, 1), stream_);
    if (status == cudaErrorMemoryAllocation) {  // what is kept may be in pieces too small
      cudaGetLastError();
      release_unused();
      status = cudaMallocAsync(&pointer, std::max<std::size_t>(bytes, 1), stream_);
    }
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      throw Error(ErrorCode::kOutOfMemory, concat("not enough GPU memory for ", bytes, " bytes; ",
                                                  bytes_in_use(), " bytes are in use"));
    }
    PSAGEN_CUDA(status);
    count(static_cast<std::ptrdiff_t>(bytes));
    return pointer;
  }

  void deallocate(void* pointer, std::size_t bytes) noexcept override {
    cudaFreeAsync(pointer, stream_);
    count(-static_cast<std::ptrdiff_t>(bytes));
  }

  void release_unused() {
    PSAGEN_CUDA(cudaStreamSynchronize(stream_));
    PSAGEN_CUDA(cudaMemPoolTrimTo(pool_, 0));
  }

 private:
  // The pool is the whole process's: who lends all memory finds it as it was.
  void keep_memory() {
    std::uint64_t keep = UINT64_MAX;
    PSAGEN_CUDA(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep));
    keeps_ = true;
  }

  Device device_;
  cudaStream_t stream_;
  cudaMemPool_t pool_ = nullptr;
  bool keeps_ = false;
};

class PinnedAllocator final : public Allocator {
 public:
  Device device() const override { return {}; }

  void* allocate(std::size_t bytes) override {
    void* pointer = nullptr;
    PSAGEN_CUDA(cudaMallocHost(&pointer, std::max<std::size_t>(bytes, 1)));
    count(static_cast<std::ptrdiff_t>(bytes));
    return pointer;
  }

  void deallocate(void* pointer, std::size_t bytes) noexcept override {
    cudaFreeHost(pointer);
    count(-static_cast<std::ptrdiff_t>(bytes));
  }
};

// One core does not fill the link to the GPU; a mapped file read for the first time even less.
void copy_threaded(std::byte* to, const std::byte* from, std::size_t bytes) {
  constexpr std::size_t kPart = std::size_t{1} << 20;
  const std::int64_t parts = static_cast<std::int64_t>((bytes + kPart - 1) / kPart);
#pragma omp parallel for schedule(static) if (parts > 1)
  for (std::int64_t i = 0; i < parts; ++i) {
    const std::size_t begin = static_cast<std::size_t>(i) * kPart;
    std::memcpy(to + begin, from + begin, std::min(kPart, bytes - begin));
  }
}

cudaDeviceProp properties_of(int index) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  PSAGEN_CHECK(status == cudaSuccess && count > 0, ErrorCode::kDevice, "no GPU can be used: ",
               status == cudaSuccess ? "none is there" : cudaGetErrorString(status));
  PSAGEN_CHECK(index >= 0 && index < count, ErrorCode::kDevice, "there is no GPU ", index,
               "; there ", count == 1 ? "is " : "are ", count, ", counted from 0");
  cudaDeviceProp properties;
  PSAGEN_CUDA(cudaGetDeviceProperties(&properties, index));
  PSAGEN_CHECK(properties.major >= 8, ErrorCode::kDevice, "GPU ", index, " (", properties.name,
               ") has compute capability ", properties.major, ".", properties.minor,
               ", wanted 8.0 or later");
  return properties;
}

}  // namespace

CudaRuntime::CudaRuntime(const ContextOptions& options)
    : options_(options), properties_(properties_of(options.device.index)) {
  PSAGEN_CUDA(cudaSetDevice(options.device.index));
  PSAGEN_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  PSAGEN_CUDA(cudaStreamCreateWithFlags(&copy_stream_, cudaStreamNonBlocking));
  PSAGEN_CUDA(cublasLtCreate(&cublas_));
  PSAGEN_CUDA(cudaEventCreateWithFlags(&order_, cudaEventDisableTiming));
  for (auto* events : {&tickets_, &prefetches_})
    for (cudaEvent_t& event : *events)
      PSAGEN_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  ranges_ = make_nvtx_ranges();
  allocator_ = std::make_unique<StreamAllocator>(options.device, stream_);
  pinned_ = std::make_unique<PinnedAllocator>();
}

// Errors at the end of everything have nobody left to hear them.
CudaRuntime::~CudaRuntime() {
  cudaSetDevice(options_.device.index);
  cudaDeviceSynchronize();
  staging_.arrived = Tensor();
  for (int i = 0; i < Staging::kSlots; ++i) {
    if (staging_.slots[i] != nullptr) cudaFreeHost(staging_.slots[i]);
    if (staging_.copied[i] != nullptr) cudaEventDestroy(staging_.copied[i]);
  }
  for (auto* events : {&tickets_, &prefetches_})
    for (cudaEvent_t event : *events) cudaEventDestroy(event);
  cudaEventDestroy(order_);
  cublasLtDestroy(cublas_);
  cudaStreamDestroy(copy_stream_);
  cudaStreamDestroy(stream_);
}

DeviceInfo CudaRuntime::info() const {
  DeviceInfo info;
  info.name = properties_.name;
  info.compute_capability = compute_capability();
  info.multiprocessors = properties_.multiProcessorCount;
  PSAGEN_CUDA(cudaMemGetInfo(&info.free_bytes, &info.total_bytes));
  cudaMemPool_t pool = nullptr;
  std::uint64_t reserved = 0, used = 0;
  PSAGEN_CUDA(cudaDeviceGetDefaultMemPool(&pool, options_.device.index));
  PSAGEN_CUDA(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved));
  PSAGEN_CUDA(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
  info.free_bytes += reserved - used;
  int driver = 0;
  PSAGEN_CUDA(cudaDriverGetVersion(&driver));
  const std::unique_ptr<const CudnnLibrary> cudnn = CudnnLibrary::open();
  info.versions = concat("driver for CUDA ", driver / 1000, ".", driver % 1000 / 10, ", cuBLASLt ",
                         cublasLtGetVersion());
  if (cudnn != nullptr)
    info.versions += concat(", cuDNN ", cudnn->version);
  else
    info.missing = concat("there is no cuDNN ", CUDNN_GRAPH_MAJOR,
                          " (PSAGEN_CUDNN_DIR may name its folder): convolutions take kernels of "
                          "our own, some of them up to three times as long");
  return info;
}

std::unique_ptr<Ops> CudaRuntime::make_ops(Context& context) {
  return std::make_unique<CudaOps>(context, *this);
}

std::unique_ptr<ZoneClock> CudaRuntime::make_zone_clock(std::size_t zones) {
  return make_event_clock(stream_, zones);
}

void CudaRuntime::upload(ConstTensorView host, TensorView device) {
  PSAGEN_CHECK(host.is_contiguous() && host.shape() == device.shape(), ErrorCode::kInternal,
               "upload of ", host.shape(), " to ", device.shape());
  Tensor arrived;  // all of it, where it is then spread
  TensorView target = device;
  if (!device.is_contiguous()) {
    arrived = Tensor(*allocator_, host.dtype(), host.shape());
    target = arrived;
  }
  const bool converts = host.dtype() != target.dtype();
  if (converts && !staging_.arrived) {
    constexpr auto kBytes = static_cast<std::int64_t>(Staging::kBytes);
    staging_.arrived = Tensor(*allocator_, DType::kU8, {kBytes});
  }
  // The target may still be read by work queued before (its memory was another tensor's).
  PSAGEN_CUDA(cudaEventRecord(order_, stream_));
  PSAGEN_CUDA(cudaStreamWaitEvent(copy_stream_, order_));
  const std::size_t from_size = dtype_size(host.dtype()), to_size = dtype_size(target.dtype());
  const std::size_t most = Staging::kBytes / from_size;
  const auto count = static_cast<std::size_t>(host.num_elements());
  for (std::size_t begin = 0; begin < count; begin += most) {
    const std::size_t part = std::min(most, count - begin);
    std::byte* const to = target.bytes() + begin * to_size;
    std::byte* const arrival = converts ? staging_.arrived.view().bytes() : to;
    upload_part(host.bytes() + begin * from_size, arrival, part * from_size);
    const Shape shape = {static_cast<std::int64_t>(part)};
    if (converts)
      copy_on_device(copy_stream_, ConstTensorView(arrival, host.dtype(), shape, device.device()),
                     TensorView(to, target.dtype(), shape, device.device()));
  }
  PSAGEN_CUDA(cudaEventRecord(order_, copy_stream_));
  PSAGEN_CUDA(cudaStreamWaitEvent(stream_, order_));
  if (arrived) copy_on_device(stream_, arrived, device);
}

void CudaRuntime::upload_part(const std::byte* source, std::byte* target, std::size_t bytes) {
  const int slot = staging_.next;
  staging_.next = (slot + 1) % Staging::kSlots;
  if (staging_.slots[slot] == nullptr) {
    PSAGEN_CUDA(cudaMallocHost(&staging_.slots[slot], Staging::kBytes));
    PSAGEN_CUDA(cudaEventCreateWithFlags(&staging_.copied[slot], cudaEventDisableTiming));
  }
  PSAGEN_CUDA(cudaEventSynchronize(staging_.copied[slot]));
  copy_threaded(staging_.slots[slot], source, bytes);
  PSAGEN_CUDA(
      cudaMemcpyAsync(target, staging_.slots[slot], bytes, cudaMemcpyHostToDevice, copy_stream_));
  PSAGEN_CUDA(cudaEventRecord(staging_.copied[slot], copy_stream_));
}

void CudaRuntime::release_unused() {
  synchronize();
  staging_.arrived = Tensor();
  static_cast<StreamAllocator&>(*allocator_).release_unused();
}

std::uint64_t CudaRuntime::download(ConstTensorView device, TensorView pinned) {
  PSAGEN_CHECK(device.is_contiguous() && pinned.is_contiguous() &&
                   device.num_bytes() == pinned.num_bytes() && device.dtype() == pinned.dtype(),
               ErrorCode::kInternal, "download of ", device.shape(), " to ", pinned.shape());
  PSAGEN_CUDA(cudaMemcpyAsync(pinned.bytes(), device.bytes(), device.num_bytes(),
                              cudaMemcpyDeviceToHost, stream_));
  return mark();
}

std::uint64_t CudaRuntime::prefetch(ConstTensorView pinned, TensorView device) {
  PSAGEN_CHECK(
      device.is_contiguous() && pinned.is_contiguous() && device.num_bytes() == pinned.num_bytes(),
      ErrorCode::kInternal, "prefetch of ", pinned.shape(), " to ", device.shape());
  PSAGEN_CUDA(cudaEventRecord(order_, stream_));
  PSAGEN_CUDA(cudaStreamWaitEvent(copy_stream_, order_));
  PSAGEN_CUDA(cudaMemcpyAsync(device.bytes(), pinned.bytes(), pinned.num_bytes(),
                              cudaMemcpyHostToDevice, copy_stream_));
  const std::uint64_t prefetch = next_prefetch_++;
  PSAGEN_CUDA(cudaEventRecord(prefetches_[prefetch % kTickets], copy_stream_));
  return prefetch;
}

// An event that serves a later copy already is waited for with that: the copies are in order.
void CudaRuntime::await_prefetch(std::uint64_t prefetch) {
  PSAGEN_CUDA(cudaStreamWaitEvent(stream_, prefetches_[prefetch % kTickets]));
}

std::uint64_t CudaRuntime::mark() {
  const std::uint64_t ticket = next_ticket_++;
  PSAGEN_CUDA(cudaEventRecord(tickets_[ticket % kTickets], stream_));
  return ticket;
}

void CudaRuntime::wait(std::uint64_t ticket) {
  // A ticket whose event serves a later one already is waited for with that.
  PSAGEN_CUDA(cudaEventSynchronize(tickets_[ticket % kTickets]));
}

void CudaRuntime::synchronize() {
  PSAGEN_CUDA(cudaStreamSynchronize(copy_stream_));
  PSAGEN_CUDA(cudaStreamSynchronize(stream_));
}

// A GPU that has failed says so with the work that is queued next.
DeviceRuntime::Queue CudaRuntime::exchange_queue(Queue queue) noexcept {
  Queue before;
  static_cast<void>(cudaGetDevice(&before.thread_device));
  if (queue.thread_device != before.thread_device)
    static_cast<void>(cudaSetDevice(queue.thread_device));
  before.stream = std::exchange(stream_, static_cast<cudaStream_t>(queue.stream));
  return before;
}

}  // namespace psagen::kernels::cuda

extern "C" __attribute__((visibility("default"))) const psagen::kernels::cuda::ModuleApi*
psagen_cuda_module() {
  using namespace psagen;
  static const kernels::cuda::ModuleApi api = {
      .version = kernels::cuda::kModuleVersion,
      .create = [](const ContextOptions& options) -> DeviceRuntime* {
        return new kernels::cuda::CudaRuntime(options);
      }};
  return &api;
}
