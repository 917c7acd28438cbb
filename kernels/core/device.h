#pragma once

namespace psagen {

enum class DeviceKind { kCpu, kCuda };

struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;  // which of several GPUs
  bool operator==(const Device&) const = default;
};

}  // namespace psagen
