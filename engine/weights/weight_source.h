// Where tensors come from: name -> dtype, shape, bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/dtype.h"
#include "kernels/core/shape.h"

namespace psagen::engine {

struct TensorEntry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  const std::byte* bytes = nullptr;  // little-endian, row-major, alive as long as the source
  std::size_t num_bytes = 0;
  std::string file;  // for messages
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // nullptr where there is no such tensor.
  virtual const TensorEntry* find(const std::string& name) const = 0;
  // What a layer gets that wants `name` in that shape; the caller checks what it found.
  virtual const TensorEntry* entry_for(const std::string& name, const Shape& wanted) const {
    static_cast<void>(wanted);
    return find(name);
  }
  virtual std::vector<std::string> names() const = 0;  // sorted
  // What to call this source in a message: a file or a directory.
  virtual std::string description() const = 0;
  // Tells the operating system that these bytes are not needed soon; they stay readable.
  virtual void drop_from_memory() const {}
};

}  // namespace psagen::engine
