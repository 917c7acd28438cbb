// How much host memory a run may still take.
#pragma once

#include <cstddef>
#include <filesystem>

namespace psagen::engine {

// What the system can give without swapping (MemAvailable of /proc/meminfo), at most what the
// control group allows in all (memory.max); the largest number where neither is told. Files of
// another machine can be given, for tests.
std::size_t available_host_bytes(
    const std::filesystem::path& meminfo = "/proc/meminfo",
    const std::filesystem::path& cgroup_limit = "/sys/fs/cgroup/memory.max");

}  // namespace psagen::engine
