// Up to six dimensions, row-major: the last one varies fastest.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>

#include "kernels/core/error.h"

namespace psagen {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) {
    for (const std::int64_t dim : dims) push_back(dim);
  }

  int rank() const { return rank_; }
  // Negative indices count from the end, as in Python.
  std::int64_t operator[](int index) const { return dims_[index < 0 ? index + rank_ : index]; }
  std::int64_t& operator[](int index) { return dims_[index < 0 ? index + rank_ : index]; }

  void push_back(std::int64_t dim) {
    PSAGEN_CHECK(rank_ < kMaxRank, ErrorCode::kUnsupported, "a tensor has more than ", kMaxRank,
                 " dimensions");
    PSAGEN_CHECK(dim >= 0, ErrorCode::kInvalidArgument, "a tensor has a negative dimension: ", dim);
    dims_[rank_++] = dim;
  }

  std::int64_t num_elements() const {
    std::int64_t count = 1;
    for (int i = 0; i < rank_; ++i) count *= dims_[i];
    return count;
  }

  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (dims_[i] != other.dims_[i]) return false;
    return true;
  }

  std::string to_string() const {
    std::string text = "[";
    for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string(dims_[i]);
    return text + "]";
  }

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  return out << shape.to_string();
}

}  // namespace psagen
