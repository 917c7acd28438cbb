#include "engine/dit/rope3d.h"

#include <cmath>
#include <vector>

namespace psagen::engine {
namespace {

constexpr double kTheta = 10000.0;

// One axis: [positions, pairs] values of cos or sin.
class AxisTable {
 public:
  AxisTable(std::int64_t positions, std::int64_t pairs) : pairs_(pairs) {
    for (std::int64_t position = 0; position < positions; ++position) {
      for (std::int64_t i = 0; i < pairs; ++i) {
        const double frequency =
            std::pow(kTheta, -static_cast<double>(i) / static_cast<double>(pairs));
        const double angle = static_cast<double>(position) * frequency;
        cos_.push_back(static_cast<float>(std::cos(angle)));
        sin_.push_back(static_cast<float>(std::sin(angle)));
      }
    }
  }

  // Appends the row of `position`.
  void append(std::int64_t position, std::vector<float>& cos, std::vector<float>& sin) const {
    const auto begin = position * pairs_;
    cos.insert(cos.end(), cos_.begin() + begin, cos_.begin() + begin + pairs_);
    sin.insert(sin.end(), sin_.begin() + begin, sin_.begin() + begin + pairs_);
  }

 private:
  std::int64_t pairs_;
  std::vector<float> cos_;
  std::vector<float> sin_;
};

Tensor upload(kernels::Ops& ops, const std::vector<float>& values, const Shape& shape) {
  Tensor result(ops.context().allocator(), DType::kF32, shape);
  ops.copy(ConstTensorView(reinterpret_cast<const std::byte*>(values.data()), DType::kF32, shape,
                           Device{}),
           result);
  return result;
}

}  // namespace

RopeTables make_rope_tables(kernels::Ops& ops, const kernels::TokenGrid& grid,
                            std::int64_t head_dim, std::span<const std::int32_t> order) {
  PSAGEN_CHECK(head_dim >= 6 && head_dim % 2 == 0, ErrorCode::kUnsupported,
               "attention_head_dim is ", head_dim, ", wanted an even number from 6 on");
  const std::int64_t spatial_pairs = head_dim / 6;
  const AxisTable frames(grid.frames, head_dim / 2 - 2 * spatial_pairs);
  const AxisTable rows(grid.rows, spatial_pairs);
  const AxisTable cols(grid.cols, spatial_pairs);

  std::vector<float> cos;
  std::vector<float> sin;
  const std::int64_t num_tokens = grid.num_tokens();
  cos.reserve(static_cast<std::size_t>(num_tokens * head_dim / 2));
  sin.reserve(cos.capacity());
  for (std::int64_t l = 0; l < num_tokens; ++l) {
    const std::int64_t raster = order.empty() ? l : order[static_cast<std::size_t>(l)];
    frames.append(raster / (grid.rows * grid.cols), cos, sin);
    rows.append(raster / grid.cols % grid.rows, cos, sin);
    cols.append(raster % grid.cols, cos, sin);
  }
  const Shape shape = {num_tokens, head_dim / 2};
  return {.cos = upload(ops, cos, shape), .sin = upload(ops, sin, shape)};
}

}  // namespace psagen::engine
