// The one exception type of the program and the macros that throw it. Header-only, so that every
// library (the scheduler too, which knows no tensors) can use it.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <sstream>
#include <string>
#include <utility>

namespace psagen {

// Class of a failure; the program's exit code is a function of it (app/main.cc).
enum class ErrorCode {
  kInvalidArgument,  // the caller asked for something that makes no sense
  kNotFound,         // a file, tensor, key or name does not exist
  kUnsupported,      // well-formed, but this program cannot do it
  kIo,               // reading or writing failed
  kDevice,           // the device or its driver failed or is absent
  kOutOfMemory,
  kNumeric,    // a computation gave NaN or infinity
  kCancelled,  // the user asked to stop
  kInternal,   // our own mistake
};

constexpr const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid argument";
    case ErrorCode::kNotFound:
      return "not found";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kIo:
      return "input/output";
    case ErrorCode::kDevice:
      return "device";
    case ErrorCode::kOutOfMemory:
      return "out of memory";
    case ErrorCode::kNumeric:
      return "numeric";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

// Joins its arguments as a stream would print them (GCC 12 has no std::format).
template <typename... Parts>
std::string concat(Parts&&... parts) {
  std::ostringstream out;
  (out << ... << std::forward<Parts>(parts));
  return out.str();
}

// `message` is one line for a person: the value found, the value wanted, the name of the thing.
// `where` is "file:line" of the check, for a bug report; it is not part of the message.
class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message, std::string where = {})
      : code_(code), message_(std::move(message)), where_(std::move(where)) {}

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& where() const { return where_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_;
  std::string message_;
  std::string where_;
};

namespace detail {
[[noreturn]] inline void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
  std::abort();
}
}  // namespace detail

}  // namespace psagen

#define PSAGEN_STRINGIFY_2(x) #x
#define PSAGEN_STRINGIFY(x) PSAGEN_STRINGIFY_2(x)

// The caller's mistake: always on, throws. Further arguments are joined into the message.
#define PSAGEN_CHECK(condition, code, ...)                            \
  do {                                                                \
    if (!(condition)) [[unlikely]]                                    \
      throw ::psagen::Error((code), ::psagen::concat(__VA_ARGS__),    \
                            __FILE__ ":" PSAGEN_STRINGIFY(__LINE__)); \
  } while (false)

// Our mistake: debug and sanitizer builds only, aborts.
#ifdef NDEBUG
#define PSAGEN_ASSERT(condition) \
  do {                           \
  } while (false)
#else
#define PSAGEN_ASSERT(condition)                                          \
  do {                                                                    \
    if (!(condition)) [[unlikely]]                                        \
      ::psagen::detail::assertion_failed(#condition, __FILE__, __LINE__); \
  } while (false)
#endif
