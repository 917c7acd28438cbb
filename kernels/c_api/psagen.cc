// The border to C: no exception crosses it.
#include "kernels/c_api/psagen.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "kernels/backend.h"
#include "kernels/c_api/calls.h"
#include "kernels/core/error.h"
#include "kernels/psa/token_order.h"

namespace kernels = psagen::kernels;
using psagen::Error;
using psagen::ErrorCode;

struct psagen_handle {
  std::unique_ptr<psagen::Context> context;
  std::unique_ptr<kernels::Ops> ops;
  std::string error;
};

namespace {

psagen_status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
      return PSAGEN_INVALID_ARGUMENT;
    case ErrorCode::kUnsupported:
      return PSAGEN_UNSUPPORTED;
    case ErrorCode::kDevice:
      return PSAGEN_DEVICE_ERROR;
    case ErrorCode::kOutOfMemory:
      return PSAGEN_OUT_OF_MEMORY;
    case ErrorCode::kIo:
    case ErrorCode::kNumeric:
    case ErrorCode::kCancelled:
    case ErrorCode::kInternal:
      return PSAGEN_INTERNAL_ERROR;
  }
  return PSAGEN_INTERNAL_ERROR;
}

// Runs `body`; what it throws becomes a status, told to `remember` as text, which may not throw.
template <typename Body, typename Remember>
psagen_status guard(const Body& body, const Remember& remember) noexcept {
  try {
    body();
    return PSAGEN_OK;
  } catch (const Error& error) {
    remember(error.what());
    return status_of(error.code());
  } catch (const std::bad_alloc&) {
    remember("not enough memory of the host");
    return PSAGEN_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    remember(error.what());
    return PSAGEN_INTERNAL_ERROR;
  } catch (...) {
    remember("an unknown exception");
    return PSAGEN_INTERNAL_ERROR;
  }
}

void keep_message(std::string& kept, const char* message) noexcept {
  try {
    kept = message;
  } catch (...) {
    kept.clear();
  }
}

template <typename Body>
psagen_status guard(psagen_handle* handle, const Body& body) noexcept {
  if (handle == nullptr) return PSAGEN_INVALID_ARGUMENT;
  return guard(body, [&](const char* message) { keep_message(handle->error, message); });
}

psagen::Device read_device(const char* name) {
  PSAGEN_CHECK(name != nullptr, ErrorCode::kInvalidArgument, "device is null");
  const std::string_view text = name;
  if (text == "cpu") return {};
  if (text == "cuda") return {psagen::DeviceKind::kCuda, 0};
  constexpr std::string_view kIndexed = "cuda:";
  psagen::Device device{psagen::DeviceKind::kCuda, 0};
  const char* const end = text.data() + text.size();
  bool is_index = text.substr(0, kIndexed.size()) == kIndexed;
  if (is_index) {
    const auto [rest, error] = std::from_chars(text.data() + kIndexed.size(), end, device.index);
    is_index = error == std::errc() && rest == end && device.index >= 0;
  }
  PSAGEN_CHECK(is_index, ErrorCode::kInvalidArgument, "device is \"", text,
               "\"; wanted cpu, cuda or cuda:N");
  return device;
}

psagen_status query(psagen_handle* handle, kernels::Call call, const psagen_desc* desc,
                    size_t* bytes) noexcept {
  return guard(handle, [&] {
    PSAGEN_CHECK(bytes != nullptr, ErrorCode::kInvalidArgument, "bytes is null");
    *bytes = kernels::count_workspace(*handle->ops, call, kernels::complete_description(desc),
                                      kernels::absent_tensors());
  });
}

}  // namespace

extern "C" {

psagen_status psagen_create(const char* device, int32_t num_threads, psagen_handle** handle,
                            char* message, size_t message_bytes) {
  const auto tell = [&](const char* text) {
    if (message == nullptr || message_bytes == 0) return;
    const size_t length = std::min(std::strlen(text), message_bytes - 1);
    std::memcpy(message, text, length);
    message[length] = '\0';
  };
  tell("");
  if (handle != nullptr) *handle = nullptr;
  return guard(
      [&] {
        PSAGEN_CHECK(handle != nullptr, ErrorCode::kInvalidArgument, "handle is null");
        psagen::ContextOptions options;
        options.device = read_device(device);
        options.num_threads = num_threads;
        auto made = std::make_unique<psagen_handle>();
        made->context = kernels::make_context(options);
        made->ops = kernels::make_ops(*made->context);
        *handle = made.release();
      },
      tell);
}

void psagen_destroy(psagen_handle* handle) { delete handle; }

const char* psagen_last_error(const psagen_handle* handle) {
  return handle == nullptr ? "handle is null" : handle->error.c_str();
}

psagen_status psagen_desc_init(psagen_desc* desc, size_t struct_size) {
  if (desc == nullptr) return PSAGEN_INVALID_ARGUMENT;
  const psagen_desc defaults = kernels::default_description();
  if (struct_size < sizeof(desc->struct_size) || struct_size > sizeof(defaults))
    return PSAGEN_INVALID_ARGUMENT;
  std::memcpy(desc, &defaults, struct_size);
  desc->struct_size = struct_size;
  return PSAGEN_OK;
}

psagen_status psagen_pyramid_token_order(int64_t frames, int64_t rows, int64_t cols,
                                         int32_t* order) {
  const auto is_size = [](int64_t size) {
    return size >= 1 && size <= std::numeric_limits<int32_t>::max();
  };
  if (order == nullptr || !is_size(frames) || !is_size(rows) || !is_size(cols) ||
      !is_size(frames * rows) || !is_size(frames * rows * cols))
    return PSAGEN_INVALID_ARGUMENT;
  return guard(
      [&] {
        const auto tokens = kernels::pyramid_token_order({frames, rows, cols});
        std::copy(tokens.begin(), tokens.end(), order);
      },
      [](const char*) {});
}

psagen_status psagen_psa_workspace(psagen_handle* handle, const psagen_desc* desc, size_t* bytes) {
  return query(handle, kernels::psa_call, desc, bytes);
}

psagen_status psagen_sparse_attention_workspace(psagen_handle* handle, const psagen_desc* desc,
                                                size_t* bytes) {
  return query(handle, kernels::sparse_attention_call, desc, bytes);
}

psagen_status psagen_attention_workspace(psagen_handle* handle, const psagen_desc* desc,
                                         size_t* bytes) {
  return query(handle, kernels::attention_call, desc, bytes);
}

psagen_status psagen_psa_forward(psagen_handle* handle, const psagen_desc* desc, const void* q,
                                 const void* k, const void* v, void* out, float* lse,
                                 const psagen_psa_report* report, void* workspace,
                                 size_t workspace_bytes, void* stream) {
  return guard(handle, [&] {
    const kernels::CallerTensors tensors{
        q, k, v, out, lse, nullptr, report == nullptr ? psagen_psa_report{} : *report};
    kernels::run_in_workspace(*handle->ops, kernels::psa_call, kernels::complete_description(desc),
                              tensors, workspace, workspace_bytes, stream);
  });
}

psagen_status psagen_sparse_attention_forward(psagen_handle* handle, const psagen_desc* desc,
                                              const void* q, const void* k, const void* v,
                                              const uint8_t* levels, void* out, float* lse,
                                              float* executed_density, void* workspace,
                                              size_t workspace_bytes, void* stream) {
  return guard(handle, [&] {
    const kernels::CallerTensors tensors{
        q, k, v, out, lse, levels, {nullptr, nullptr, executed_density}};
    kernels::run_in_workspace(*handle->ops, kernels::sparse_attention_call,
                              kernels::complete_description(desc), tensors, workspace,
                              workspace_bytes, stream);
  });
}

psagen_status psagen_attention_forward(psagen_handle* handle, const psagen_desc* desc,
                                       const void* q, const void* k, const void* v, void* out,
                                       float* lse, void* workspace, size_t workspace_bytes,
                                       void* stream) {
  return guard(handle, [&] {
    kernels::run_in_workspace(*handle->ops, kernels::attention_call,
                              kernels::complete_description(desc), {q, k, v, out, lse, nullptr, {}},
                              workspace, workspace_bytes, stream);
  });
}

}  // extern "C"
