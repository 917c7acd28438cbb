#include "engine/weights/weights.h"

#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "engine/config/json_fields.h"

namespace psagen::engine {
namespace {

constexpr std::size_t kNamesShown = 5;

bool is_below(const std::string& name, const std::string& prefix) {
  return name.compare(0, prefix.size(), prefix) == 0 &&
         (name.size() == prefix.size() || name[prefix.size()] == '.');
}

bool is_aligned(const TensorEntry& entry) {
  return reinterpret_cast<std::uintptr_t>(entry.bytes) % dtype_size(entry.dtype) == 0;
}

void check_found(const TensorEntry& entry, const Shape& wanted) {
  PSAGEN_CHECK(entry.shape == wanted, ErrorCode::kInvalidArgument, entry.file, ": tensor ",
               quoted_name(entry.name), " has shape ", entry.shape, ", wanted ", wanted);
  PSAGEN_CHECK(
      entry.dtype == DType::kF32 || entry.dtype == DType::kBF16 || entry.dtype == DType::kF16,
      ErrorCode::kInvalidArgument, entry.file, ": tensor ", quoted_name(entry.name), " has dtype ",
      dtype_name(entry.dtype), ", wanted F32, BF16 or F16");
}

}  // namespace

struct Weights::State {
  std::shared_ptr<const WeightSource> source;
  Context& context;
  std::set<std::string> read;
  std::vector<std::string> ignored;
  // Copies of tensors at addresses their type does not allow: made once however often asked for.
  std::map<std::string, std::shared_ptr<const Tensor>> copies;

  const std::shared_ptr<const Tensor>& aligned_copy(const TensorEntry& entry) {
    std::shared_ptr<const Tensor>& copy = copies[entry.name];
    if (!copy) {
      Tensor tensor(context.allocator(), entry.dtype, entry.shape);
      if (entry.num_bytes > 0) std::memcpy(tensor.view().bytes(), entry.bytes, entry.num_bytes);
      copy = std::make_shared<const Tensor>(std::move(tensor));
    }
    return copy;
  }
};

Weights::Weights(std::shared_ptr<const WeightSource> source, Context& context)
    : state_(std::make_shared<State>(State{std::move(source), context, {}, {}, {}})) {
  PSAGEN_CHECK(context.device().kind == DeviceKind::kCpu, ErrorCode::kUnsupported,
               "weights can be read for the CPU only");
}

Weights::Weights(std::shared_ptr<State> state, std::string prefix)
    : state_(std::move(state)), prefix_(std::move(prefix)) {}

Weights Weights::child(const std::string& name) const { return {state_, prefix_ + name + "."}; }

Weights Weights::child(std::int64_t index) const { return child(std::to_string(index)); }

Parameter Weights::get(const Shape& shape, const std::string& name) const {
  Parameter parameter = maybe(shape, name);
  PSAGEN_CHECK(parameter, ErrorCode::kNotFound, state_->source->description(), ": has no tensor ",
               quoted_name(full_name(name)), " (wanted with shape ", shape, ")");
  return parameter;
}

Parameter Weights::maybe(const Shape& shape, const std::string& name) const {
  const TensorEntry* const entry = state_->source->find(full_name(name));
  if (entry == nullptr) return {};
  check_found(*entry, shape);
  state_->read.insert(entry->name);
  const Device device = state_->context.device();
  if (is_aligned(*entry))
    return {ConstTensorView(entry->bytes, entry->dtype, entry->shape, device), state_->source};
  const std::shared_ptr<const Tensor>& copy = state_->aligned_copy(*entry);
  return {copy->view(), copy};
}

void Weights::ignore(const std::string& prefix) const {
  state_->ignored.push_back(full_name(prefix));
}

void Weights::expect_all_read() const {
  std::string shown;
  std::size_t count = 0;
  for (const std::string& name : state_->source->names()) {
    bool known = state_->read.count(name) > 0;
    for (const std::string& prefix : state_->ignored) known = known || is_below(name, prefix);
    if (known) continue;
    if (count++ < kNamesShown) shown += (shown.empty() ? "" : ", ") + quoted_name(name);
  }
  PSAGEN_CHECK(count == 0, ErrorCode::kInvalidArgument, state_->source->description(), ": holds ",
               count, count == 1 ? " tensor" : " tensors",
               " that this model has no place for: ", shown, count > kNamesShown ? ", ..." : "");
}

const WeightSource& Weights::source() const { return *state_->source; }

std::string Weights::full_name(const std::string& name) const { return prefix_ + name; }

}  // namespace psagen::engine
