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
  DType product_dtype;
  std::size_t loaded_bytes = 0;
  std::set<std::string> read;
  std::vector<std::string> ignored;
  // Copies of tensors that cannot be used where they lie: made once however often asked for.
  std::map<std::string, std::weak_ptr<const Tensor>> copies;

  template <typename Make>
  std::shared_ptr<const Tensor> copy_of(const std::string& name, const Make& make) {
    std::weak_ptr<const Tensor>& kept = copies[name];
    std::shared_ptr<const Tensor> copy = kept.lock();
    if (!copy) kept = copy = std::make_shared<const Tensor>(make());
    return copy;
  }

  // On the CPU, for addresses the type does not allow.
  Tensor aligned(const TensorEntry& entry) {
    Tensor tensor(context.allocator(), entry.dtype, entry.shape);
    if (entry.num_bytes > 0) std::memcpy(tensor.view().bytes(), entry.bytes, entry.num_bytes);
    return tensor;
  }

  DType device_dtype(const TensorEntry& entry, Use use) const {
    const bool is_product = use == Use::kProduct && entry.shape.rank() > 1;
    return is_product || use == Use::kResult ? product_dtype : DType::kF32;
  }

  Tensor uploaded(const TensorEntry& entry, Use use, Allocator& memory) {
    Tensor tensor(memory, device_dtype(entry, use), entry.shape);
    loaded_bytes += entry.num_bytes;
    context.runtime()->upload(ConstTensorView(entry.bytes, entry.dtype, entry.shape, Device{}),
                              tensor);
    return tensor;
  }
};

Weights::Weights(std::shared_ptr<const WeightSource> source, Context& context, DType product_dtype)
    : state_(std::make_shared<State>(
          State{std::move(source), context, product_dtype, 0, {}, {}, {}})) {}

Weights::Weights(std::shared_ptr<State> state, std::string prefix, Allocator* memory)
    : state_(std::move(state)), prefix_(std::move(prefix)), memory_(memory) {}

Weights Weights::child(const std::string& name) const {
  return {state_, prefix_ + name + ".", memory_};
}

Weights Weights::placed_in(Allocator& memory) const { return {state_, prefix_, &memory}; }

std::size_t Weights::loaded_bytes() const { return state_->loaded_bytes; }

std::size_t Weights::device_bytes() const {
  std::size_t total = 0;
  for (const std::string& name : state_->source->names()) {
    if (!is_below(name, prefix_.substr(0, prefix_.size() - 1))) continue;
    const TensorEntry& entry = *state_->source->find(name);
    const DType dtype = entry.shape.rank() == 2 ? state_->product_dtype : DType::kF32;
    const std::size_t bytes =
        static_cast<std::size_t>(entry.shape.num_elements()) * dtype_size(dtype);
    total += (bytes + kWeightAlignment - 1) / kWeightAlignment * kWeightAlignment;
  }
  return total;
}

Weights Weights::child(std::int64_t index) const { return child(std::to_string(index)); }

Parameter Weights::get(const Shape& shape, const std::string& name, Use use) const {
  Parameter parameter = maybe(shape, name, use);
  PSAGEN_CHECK(parameter, ErrorCode::kNotFound, state_->source->description(), ": has no tensor ",
               quoted_name(full_name(name)), " (wanted with shape ", shape, ")");
  return parameter;
}

Parameter Weights::maybe(const Shape& shape, const std::string& name, Use use) const {
  const TensorEntry* const entry = state_->source->entry_for(full_name(name), shape);
  if (entry == nullptr) return {};
  check_found(*entry, shape);
  state_->read.insert(entry->name);
  if (state_->context.runtime() != nullptr) {
    const std::string key =
        concat(entry->name, " as ", dtype_name(state_->device_dtype(*entry, use)));
    const auto copy = state_->copy_of(key, [&] {
      return state_->uploaded(*entry, use,
                              memory_ != nullptr ? *memory_ : state_->context.allocator());
    });
    return {copy->view(), copy};
  }
  if (is_aligned(*entry))
    return {ConstTensorView(entry->bytes, entry->dtype, entry->shape, Device{}), state_->source};
  const auto copy = state_->copy_of(entry->name, [&] { return state_->aligned(*entry); });
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
