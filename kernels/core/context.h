// What a pipeline computes with: a device, its memory, its threads, its clock. Built once and
// passed by reference; nothing in the program is global. kernels/backend.h makes one for a GPU.
#pragma once

#include <memory>

#include "kernels/core/allocator.h"
#include "kernels/core/device.h"
#include "kernels/core/device_runtime.h"
#include "kernels/core/dtype.h"
#include "kernels/core/profile.h"
#include "kernels/core/tuning_store.h"

namespace psagen {

struct ContextOptions {
  Device device;
  int num_threads = 0;  // CPU threads; 0 takes what the machine (or its cgroup) allows
  // What activations between layers and the weights of matrix products are held in. The CPU back
  // end computes in kF32; CUDA in kBF16, kF16 or kF32. Sums are float32 everywhere.
  DType compute_dtype = DType::kF32;
  // CUDA: the kernels for every GPU from compute capability 8.0 on, also where there are better
  // ones.
  bool portable_kernels = false;
  // CUDA: attention gives the same bits on any number of multiprocessors. Without it the last
  // blocks of queries of a long sequence may be shared among several, and the order of their sums
  // is then that number's (docs/library.md).
  bool deterministic = false;
  // CUDA: attention works as if there were no more multiprocessors; 0: all that there are.
  int max_multiprocessors = 0;
  // CUDA: where algorithms chosen by measurement are looked for and kept; null: this run measures
  // for itself.
  std::shared_ptr<TuningStore> tuning_store = nullptr;
};

class Context {
 public:
  // `runtime` belongs to options.device and is wanted exactly where that is a GPU.
  explicit Context(const ContextOptions& options = {},
                   std::unique_ptr<DeviceRuntime> runtime = nullptr);
  ~Context();

  Device device() const { return options_.device; }
  int num_threads() const { return options_.num_threads; }
  DType compute_dtype() const { return options_.compute_dtype; }
  // The type of queries and keys once they are normed, which bounds them: where the rest is BF16
  // they are F16, whose steps are 8 times finer. No other rounding of a forward turns a clip as
  // much.
  DType score_dtype() const {
    return compute_dtype() == DType::kBF16 ? DType::kF16 : compute_dtype();
  }
  const ContextOptions& options() const { return options_; }
  DeviceRuntime* runtime() { return runtime_.get(); }  // null on the CPU
  Allocator& allocator() { return *allocator_; }       // memory of device()
  Workspace& workspace() { return *workspace_; }       // scratch memory of device()
  Profiler& profiler() { return profiler_; }

  // While it lives, allocator() and workspace() hand out what a caller lends.
  class Loan {
   public:
    Loan(Context& context, LentMemory& memory);
    ~Loan();
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

   private:
    Context& context_;
    Allocator* allocator_;  // those of the context
    std::unique_ptr<Workspace> workspace_;
  };

 private:
  ContextOptions options_;
  std::unique_ptr<DeviceRuntime> runtime_;
  std::unique_ptr<Allocator> cpu_allocator_;
  Allocator* allocator_;
  std::unique_ptr<Workspace> workspace_;
  Profiler profiler_;
};

}  // namespace psagen
