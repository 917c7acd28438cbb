// What a pipeline computes with: a device, its memory, its threads, its clock. Built once and
// passed by reference; nothing in the program is global.
#pragma once

#include <memory>

#include "kernels/core/allocator.h"
#include "kernels/core/device.h"
#include "kernels/core/profile.h"

namespace psagen {

struct ContextOptions {
  Device device;
  int num_threads = 0;  // CPU threads; 0 takes what the machine (or its cgroup) allows
};

class Context {
 public:
  explicit Context(const ContextOptions& options = {});

  Device device() const { return options_.device; }
  int num_threads() const { return options_.num_threads; }
  Allocator& allocator() { return *allocator_; }  // memory of device()
  Workspace& workspace() { return *workspace_; }  // scratch memory of device()
  Profiler& profiler() { return profiler_; }

 private:
  ContextOptions options_;
  std::unique_ptr<Allocator> allocator_;
  std::unique_ptr<Workspace> workspace_;
  Profiler profiler_;
};

}  // namespace psagen
