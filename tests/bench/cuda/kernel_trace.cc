// Writes what the GPU does while a program runs: every kernel, copy and memset with its start and
// end. A tool of our own because NVIDIA's profilers are not on every machine, and CUPTI comes with
// the toolkit. The driver loads it into any program:
//
//   CUDA_INJECTION64_PATH=$PWD/libpsagen_kernel_trace.so PSAGEN_TRACE=run.tsv PSAGEN_TRACE_CPU=1
//     psa-gen bench run --rounds 1
//
// A line an event, times in ns, in no order (scripts/benchmarks/timeline.py reads them):
//
//   K start end stream name            kernel
//   C start end stream copyKIND BYTES  copy, KIND as CUpti_ActivityMemcpyKind: 1 to the GPU, 2 back
//   S start end stream set BYTES       memset
//   T time main others                 CPU time so far of the main thread and of all others; every
//                                      10 ms with PSAGEN_TRACE_CPU=1
#include <cupti.h>
#include <cxxabi.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

namespace {

constexpr std::size_t kBufferBytes = 8 << 20, kAlignment = 64, kLongestName = 170;
constexpr std::chrono::milliseconds kSampleEvery{10};

std::FILE* file = nullptr;
std::mutex file_mutex;  // CUPTI's thread and the sampler write
std::atomic<bool> finished{false};
std::thread* sampler = nullptr;

bool succeeded(CUptiResult result, const char* what) {
  if (result == CUPTI_SUCCESS) return true;
  const char* text = "";
  cuptiGetResultString(result, &text);
  std::fprintf(stderr, "kernel_trace: %s: %s\n", what, text);
  return false;
}

std::string readable(const char* symbol) {
  int status = 0;
  char* const demangled = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string name = demangled != nullptr ? demangled : symbol;
  std::free(demangled);
  std::replace(name.begin(), name.end(), '\t', ' ');
  return name.substr(0, kLongestName);
}

template <typename Activity>
void write_event(char kind, const Activity& activity, const std::string& name) {
  std::fprintf(file, "%c\t%llu\t%llu\t%u\t%s\n", kind,
               static_cast<unsigned long long>(activity.start),
               static_cast<unsigned long long>(activity.end), activity.streamId, name.c_str());
}

void write_record(const CUpti_Activity* record) {
  if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
    const auto& kernel = *reinterpret_cast<const CUpti_ActivityKernel10*>(record);
    write_event('K', kernel, readable(kernel.name));
  } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
    const auto& copy = *reinterpret_cast<const CUpti_ActivityMemcpy6*>(record);
    write_event('C', copy,
                "copy" + std::to_string(copy.copyKind) + " " + std::to_string(copy.bytes));
  } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
    const auto& memset = *reinterpret_cast<const CUpti_ActivityMemset4*>(record);
    write_event('S', memset, "set " + std::to_string(memset.bytes));
  }
}

void CUPTIAPI give_buffer(std::uint8_t** buffer, std::size_t* size, std::size_t* max_records) {
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(kAlignment, kBufferBytes));
  *size = *buffer != nullptr ? kBufferBytes : 0;
  *max_records = 0;  // as many as fit
}

void CUPTIAPI take_buffer(CUcontext, std::uint32_t, std::uint8_t* buffer, std::size_t,
                          std::size_t valid) {
  const std::lock_guard lock(file_mutex);
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) write_record(record);
  std::free(buffer);
}

long long nanoseconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

// Threads that have ended count; the sampler itself does not.
void sample_cpu_time() {
  // The CPU clock of a thread by its number, as pthread_getcpuclockid makes it.
  const clockid_t main_thread = static_cast<clockid_t>((~static_cast<unsigned>(getpid()) << 3) | 6);
  while (!finished) {
    std::uint64_t now = 0;
    cuptiGetTimestamp(&now);
    const long long main_time = nanoseconds(main_thread);
    const long long all = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    const long long own = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    {
      const std::lock_guard lock(file_mutex);
      std::fprintf(file, "T\t%llu\t%lld\t%lld\n", static_cast<unsigned long long>(now), main_time,
                   all - main_time - own);
    }
    std::this_thread::sleep_for(kSampleEvery);
  }
}

void finish() {
  finished = true;
  if (sampler != nullptr) sampler->join();
  cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  const std::lock_guard lock(file_mutex);
  std::fflush(file);
}

std::string setting(const char* name, const char* otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

}  // namespace

// What the driver calls when the program first uses it.
extern "C" int InitializeInjection() {
  const std::string path = setting("PSAGEN_TRACE", "kernel-trace.tsv");
  file = std::fopen(path.c_str(), "w");
  if (file == nullptr) {
    std::perror(("kernel_trace: " + path).c_str());
    return 0;
  }
  if (!succeeded(cuptiActivityRegisterCallbacks(give_buffer, take_buffer), "callbacks")) return 0;
  for (const CUpti_ActivityKind kind : {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                        CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET}) {
    if (!succeeded(cuptiActivityEnable(kind), "activities")) return 0;
  }
  if (setting("PSAGEN_TRACE_CPU", "0") == "1") sampler = new std::thread(sample_cpu_time);
  std::atexit(finish);
  return 1;
}
