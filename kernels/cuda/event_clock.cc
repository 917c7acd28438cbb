#include "kernels/cuda/event_clock.h"

#include <vector>

#include "kernels/cuda/cuda_check.h"

namespace psagen::kernels::cuda {
namespace {

// A ring of pairs: one is read, and waited for, when its turn comes again.
class EventClock final : public ZoneClock {
 public:
  EventClock(cudaStream_t stream, std::size_t zones) : stream_(stream), pairs_(zones) {
    for (Pair& pair : pairs_) {
      PSAGEN_CUDA(cudaEventCreate(&pair.begin));
      PSAGEN_CUDA(cudaEventCreate(&pair.end));
    }
  }
  ~EventClock() override {
    for (const Pair& pair : pairs_) {
      cudaEventDestroy(pair.begin);
      cudaEventDestroy(pair.end);
    }
  }

  void begin() override {
    read(pairs_[next_]);
    cudaEventRecord(pairs_[next_].begin, stream_);
  }
  void end(double& seconds) override {
    cudaEventRecord(pairs_[next_].end, stream_);
    pairs_[next_].seconds = &seconds;
    next_ = (next_ + 1) % pairs_.size();
  }
  void settle() override {
    for (Pair& pair : pairs_) read(pair);
  }

 private:
  struct Pair {
    cudaEvent_t begin = nullptr, end = nullptr;
    double* seconds = nullptr;  // where the time goes; null: it went there
  };

  // A device that failed tells so where it is waited for next, not here.
  static void read(Pair& pair) {
    if (pair.seconds == nullptr) return;
    float milliseconds = 0.0f;
    if (cudaEventSynchronize(pair.end) == cudaSuccess &&
        cudaEventElapsedTime(&milliseconds, pair.begin, pair.end) == cudaSuccess)
      *pair.seconds += static_cast<double>(milliseconds) * 1e-3;
    pair.seconds = nullptr;
  }

  cudaStream_t stream_;
  std::vector<Pair> pairs_;
  std::size_t next_ = 0;
};

}  // namespace

std::unique_ptr<ZoneClock> make_event_clock(cudaStream_t stream, std::size_t zones) {
  return std::make_unique<EventClock>(stream, zones);
}

}  // namespace psagen::kernels::cuda
