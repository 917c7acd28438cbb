#include "kernels/cpu/rearrange.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/core/row_view.h"
#include "kernels/cpu/parallel.h"

namespace psagen::kernels::cpu {
namespace {

template <typename To, typename From>
To convert(From value) {
  if constexpr (std::is_same_v<To, From>)
    return value;
  else if constexpr (std::is_same_v<To, bf16>)
    return to_bf16(to_float(value));
  else if constexpr (std::is_same_v<To, f16>)
    return to_f16(to_float(value));
  else
    return to_float(value);
}

// The shape with as few dimensions as the strides of both views allow; always at least one.
struct CopyPlan {
  int rank = 0;
  std::array<std::int64_t, Shape::kMaxRank> dims{};
  Strides x{}, y{};
};

CopyPlan plan_copy(const ConstTensorView& x, const TensorView& y) {
  CopyPlan plan;
  for (int i = 0; i < x.rank(); ++i) {
    if (x.dim(i) == 1) continue;
    const int last = plan.rank - 1;
    if (plan.rank > 0 && plan.x[last] == x.stride(i) * x.dim(i) &&
        plan.y[last] == y.stride(i) * x.dim(i)) {
      plan.dims[last] *= x.dim(i);
      plan.x[last] = x.stride(i);
      plan.y[last] = y.stride(i);
      continue;
    }
    plan.dims[plan.rank] = x.dim(i);
    plan.x[plan.rank] = x.stride(i);
    plan.y[plan.rank] = y.stride(i);
    ++plan.rank;
  }
  if (plan.rank == 0) {
    plan.rank = 1;
    plan.dims[0] = plan.x[0] = plan.y[0] = 1;
  }
  return plan;
}

template <typename From, typename To>
void copy_as(Context& context, const ConstTensorView& x_view, const TensorView& y_view) {
  const CopyPlan plan = plan_copy(x_view, y_view);
  const auto* x = reinterpret_cast<const From*>(x_view.bytes());
  auto* y = reinterpret_cast<To*>(y_view.bytes());
  const int last = plan.rank - 1;
  const std::int64_t width = plan.dims[last];
  const std::int64_t x_step = plan.x[last], y_step = plan.y[last];
  std::int64_t rows = 1;
  for (int i = 0; i < last; ++i) rows *= plan.dims[i];
  const auto copy_part = [&](std::int64_t row, std::int64_t begin, std::int64_t end) {
    const From* from = x;
    To* to = y;
    for (int i = last - 1; i >= 0; --i) {
      from += row % plan.dims[i] * plan.x[i];
      to += row % plan.dims[i] * plan.y[i];
      row /= plan.dims[i];
    }
    for (std::int64_t j = begin; j < end; ++j) to[j * y_step] = convert<To>(from[j * x_step]);
  };
  if (rows == 1) {
    parallel_for(context, width, kElementGrain,
                 [&](std::int64_t begin, std::int64_t end) { copy_part(0, begin, end); });
    return;
  }
  parallel_for(context, rows, row_grain(width), [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t row = first; row < end; ++row) copy_part(row, 0, width);
  });
}

template <typename From>
void copy_from(Context& context, const ConstTensorView& x, const TensorView& y) {
  switch (y.dtype()) {
    case DType::kBF16:
      return copy_as<From, bf16>(context, x, y);
    case DType::kF16:
      return copy_as<From, f16>(context, x, y);
    default:
      return copy_as<From, float>(context, x, y);
  }
}

// Which elements a patch row is made of: vector element e of a token is channel, row and column of
// its 2 x 2 patch. Going in (c, p, q), q fastest; coming out (p, q, c), c fastest.
struct PatchGrid {
  std::int64_t channels, frames, rows, columns;  // rows and columns of patches
  std::int64_t tokens() const { return frames * rows * columns; }
  // Offset in [C, T, H, W] of the patch's first pixel in channel 0.
  std::int64_t first_pixel(std::int64_t raster) const {
    const std::int64_t column = raster % columns, row = raster / columns % rows;
    const std::int64_t frame = raster / (columns * rows);
    return ((frame * 2 * rows) + 2 * row) * 2 * columns + 2 * column;
  }
  std::int64_t channel_stride() const { return frames * 4 * rows * columns; }
};

PatchGrid patch_grid(const Shape& latent) {
  return {latent[1], latent[2], latent[3] / 2, latent[4] / 2};
}

const std::int32_t* order_values(const ConstTensorView& order) {
  return order ? order.data<std::int32_t>() : nullptr;
}

std::int64_t raster_of(const std::int32_t* order, std::int64_t token) {
  return order == nullptr ? token : order[token];
}

}  // namespace

void copy(Context& context, ConstTensorView x, TensorView y) {
  if (x.num_elements() == 0) return;
  if (x.dtype() != y.dtype()) {
    if (x.dtype() == DType::kBF16) return copy_from<bf16>(context, x, y);
    if (x.dtype() == DType::kF16) return copy_from<f16>(context, x, y);
    return copy_from<float>(context, x, y);
  }
  switch (dtype_size(x.dtype())) {
    case 1:
      return copy_as<std::uint8_t, std::uint8_t>(context, x, y);
    case 2:
      return copy_as<std::uint16_t, std::uint16_t>(context, x, y);
    case 4:
      return copy_as<std::uint32_t, std::uint32_t>(context, x, y);
    default:
      return copy_as<std::uint64_t, std::uint64_t>(context, x, y);
  }
}

void patchify(Context& context, const PatchifyArgs& args) {
  const PatchGrid grid = patch_grid(args.latent.shape());
  const float* latent = args.latent.data<float>();
  const std::int32_t* order = order_values(args.order);
  const auto tokens = row_view<float>(args.tokens);
  parallel_for(context, args.latent.dim(0) * grid.tokens(), row_grain(tokens.width),
               [&](auto begin, auto end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t batch = i / grid.tokens(), token = i % grid.tokens();
                   const float* pixel = latent + batch * grid.channels * grid.channel_stride() +
                                        grid.first_pixel(raster_of(order, token));
                   float* out = tokens.row(batch, token);
                   for (std::int64_t c = 0; c < grid.channels;
                        ++c, pixel += grid.channel_stride()) {
                     for (std::int64_t p = 0; p < 2; ++p)
                       for (std::int64_t q = 0; q < 2; ++q)
                         *out++ = pixel[p * 2 * grid.columns + q];
                   }
                 }
               });
}

void unpatchify(Context& context, const UnpatchifyArgs& args) {
  const PatchGrid grid = patch_grid(args.latent.shape());
  float* latent = args.latent.data<float>();
  const std::int32_t* order = order_values(args.order);
  const auto tokens = row_view<float>(args.tokens);
  parallel_for(context, args.latent.dim(0) * grid.tokens(), row_grain(tokens.width),
               [&](auto begin, auto end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t batch = i / grid.tokens(), token = i % grid.tokens();
                   float* pixel = latent + batch * grid.channels * grid.channel_stride() +
                                  grid.first_pixel(raster_of(order, token));
                   const float* in = tokens.row(batch, token);
                   for (std::int64_t p = 0; p < 2; ++p)
                     for (std::int64_t q = 0; q < 2; ++q)
                       for (std::int64_t c = 0; c < grid.channels; ++c)
                         pixel[c * grid.channel_stride() + p * 2 * grid.columns + q] = *in++;
                 }
               });
}

}  // namespace psagen::kernels::cpu
