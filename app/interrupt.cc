#include "app/interrupt.h"

#include <pthread.h>
#include <unistd.h>

#include <system_error>

#include "engine/media/partial_file.h"

namespace psagen::app {

namespace {

bool is_ignored(int number) {
  struct sigaction action {};
  return ::sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

Interrupt::Interrupt() {
  // A reader that went away (`| head`) and a file size limit are errors of write(), not deaths.
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  sigemptyset(&signals_);
  // What the parent chose to ignore (nohup, a background job) stays ignored.
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    if (!is_ignored(number)) sigaddset(&signals_, number);
  }
  sigaddset(&signals_, SIGUSR2);  // wakes the thread when this object goes
  ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  thread_ = std::thread([this] { wait_for_signals(); });
}

Interrupt::~Interrupt() {
  stopping_ = true;
  ::pthread_kill(thread_.native_handle(), SIGUSR2);
  thread_.join();
}

void Interrupt::remove_unfinished(const std::filesystem::path& target) {
  const std::lock_guard lock(mutex_);
  unfinished_.push_back(engine::partial_path(target));
}

void Interrupt::wait_for_signals() {
  for (;;) {
    int number = 0;
    if (::sigwait(&signals_, &number) != 0) continue;
    if (stopping_) return;
    if (number == SIGUSR2) continue;
    if (!requested_.exchange(true)) continue;
    const std::lock_guard lock(mutex_);
    std::error_code error;
    for (const std::filesystem::path& path : unfinished_) std::filesystem::remove_all(path, error);
    ::_exit(130);
  }
}

}  // namespace psagen::app
