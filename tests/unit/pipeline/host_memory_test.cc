#include "engine/pipeline/host_memory.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "tests/support/temporary_folder.h"

namespace psagen::engine {
namespace {

TEST(HostMemory, IsWhatTheSystemAndTheGroupAllow) {
  const testing::TemporaryFolder folder;
  const auto meminfo = folder / "meminfo", limit = folder / "memory.max";
  std::ofstream(meminfo) << "MemTotal:       8000000 kB\nMemFree:         100000 kB\n"
                            "MemAvailable:    5000000 kB\n";
  EXPECT_EQ(available_host_bytes(meminfo, limit), 5000000ull * 1024u) << "no group";
  std::ofstream(limit) << "max\n";
  EXPECT_EQ(available_host_bytes(meminfo, limit), 5000000ull * 1024u);
  std::ofstream(limit) << "1073741824\n";
  EXPECT_EQ(available_host_bytes(meminfo, limit), 1073741824u);
  EXPECT_EQ(available_host_bytes(folder / "none", folder / "none"),
            std::numeric_limits<std::size_t>::max());
}

TEST(HostMemory, ThisMachineHasSome) { EXPECT_GT(available_host_bytes(), std::size_t{1} << 20); }

}  // namespace
}  // namespace psagen::engine
