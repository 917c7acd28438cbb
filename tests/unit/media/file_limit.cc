#include "tests/unit/media/file_limit.h"

#include <sys/resource.h>

#include <csignal>

namespace psagen::testing {

FileLimit::FileLimit(std::uint64_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);  // else the kernel ends the process instead of failing write()
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  previous_ = limit.rlim_cur;
  limit.rlim_cur = bytes;
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

FileLimit::~FileLimit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = previous_;
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

}  // namespace psagen::testing
