// Ctrl-C and its relatives. The first SIGINT, SIGTERM or SIGHUP asks the run to stop at its next
// progress report; the second removes unfinished output and ends the process at once.
#pragma once

#include <signal.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

namespace psagen::app {

// One object for the whole process, made before any other thread. The signals are blocked in every
// thread and taken by a thread of our own, which may therefore do what a signal handler may not.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool requested() const { return requested_; }
  // The unfinished form of this output (engine::partial_path) goes when the process ends at once.
  void remove_unfinished(const std::filesystem::path& target);

 private:
  void wait_for_signals();

  sigset_t signals_{};
  std::atomic<bool> requested_ = false;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::vector<std::filesystem::path> unfinished_;
  std::thread thread_;
};

}  // namespace psagen::app
