// A cursor over a weight source: layers ask for what they need by name and shape.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/weights/weight_source.h"
#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace psagen::engine {

// A weight on the context's device: on the CPU the mapped file itself (copied only where the file
// has it at an address its type does not allow), on a GPU a tensor of its own.
class Parameter {
 public:
  Parameter() = default;
  Parameter(ConstTensorView view, std::shared_ptr<const void> keep_alive)
      : view_(view), keep_alive_(std::move(keep_alive)) {}

  explicit operator bool() const { return static_cast<bool>(view_); }
  operator ConstTensorView() const { return view_; }  // NOLINT(google-explicit-constructor)
  const ConstTensorView& view() const { return view_; }

 private:
  ConstTensorView view_;
  std::shared_ptr<const void> keep_alive_;
};

// Device tensors begin at multiples of this.
inline constexpr std::size_t kWeightAlignment = 256;

class Weights {
 public:
  // What a tensor is for decides its type on a GPU: matrices and kernels of products have the type
  // the component computes in; values that are added or multiplied one by one keep float32, but for
  // those of a product's result, which have its type. On the CPU all stay as the file has them.
  enum class Use { kProduct, kValues, kResult };

  // The context must outlive every Parameter. `product_dtype`: of Use::kProduct and
  // kResult on a GPU.
  Weights(std::shared_ptr<const WeightSource> source, Context& context, DType product_dtype);
  Weights(std::shared_ptr<const WeightSource> source, Context& context)
      : Weights(std::move(source), context, context.compute_dtype()) {}

  // Cursor at `name.`; nothing is looked up yet.
  Weights child(const std::string& name) const;
  Weights child(std::int64_t index) const;
  // The same cursor, but tensors on a GPU get their memory from there.
  Weights placed_in(Allocator& memory) const;
  // Bytes of files that were sent to a GPU so far, for all cursors of the source together.
  std::size_t loaded_bytes() const;
  // What the tensors below this cursor take on a GPU at most, each rounded up to kWeightAlignment:
  // only matrices are sure to be for products.
  std::size_t device_bytes() const;

  // The tensor of that name and exactly that shape, F32, BF16 or F16. Throws Error that names the
  // tensor and file: kNotFound where it is absent, kInvalidArgument (found, wanted) where shape or
  // dtype are wrong. Tensors of one dimension are values where `use` says kProduct.
  Parameter get(const Shape& shape, const std::string& name, Use use = Use::kProduct) const;
  // An empty Parameter where the tensor is absent.
  Parameter maybe(const Shape& shape, const std::string& name, Use use = Use::kProduct) const;

  // Marks every tensor below `prefix` as known but not needed (an encoder in a decoder-only load).
  void ignore(const std::string& prefix) const;

  // Throws Error(kInvalidArgument) naming the tensors of the whole source that nobody asked for.
  void expect_all_read() const;

  const WeightSource& source() const;
  std::string full_name(const std::string& name) const;

 private:
  struct State;  // the source, the context and which names were read; shared by all cursors
  Weights(std::shared_ptr<State> state, std::string prefix, Allocator* memory);

  std::shared_ptr<State> state_;
  std::string prefix_;           // empty, or ends in '.'
  Allocator* memory_ = nullptr;  // null: the context's
};

}  // namespace psagen::engine
