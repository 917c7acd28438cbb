#include "kernels/reference/elements.h"

namespace psagen::kernels::reference {
namespace {

double element(const ConstTensorView& view, std::int64_t offset) {
  switch (view.dtype()) {
    case DType::kF32:
      return view.data<float>()[offset];
    case DType::kBF16:
      return to_float(view.data<bf16>()[offset]);
    case DType::kF16:
      return to_float(view.data<f16>()[offset]);
    case DType::kF64:
      return view.data<double>()[offset];
    case DType::kI32:
      return view.data<std::int32_t>()[offset];
    case DType::kI64:
      return static_cast<double>(view.data<std::int64_t>()[offset]);
    case DType::kU8:
      return view.data<std::uint8_t>()[offset];
  }
  return 0.0;
}

}  // namespace

template <typename Real>
std::vector<Real> elements(const ConstTensorView& view) {
  std::vector<Real> result(static_cast<std::size_t>(view ? view.num_elements() : 0));
  for (std::size_t i = 0; i < result.size(); ++i) {
    auto rest = static_cast<std::int64_t>(i);
    std::int64_t offset = 0;
    for (int axis = view.rank() - 1; axis >= 0; --axis) {
      offset += rest % view.dim(axis) * view.stride(axis);
      rest /= view.dim(axis);
    }
    result[i] = static_cast<Real>(element(view, offset));
  }
  return result;
}

template std::vector<double> elements<double>(const ConstTensorView&);
template std::vector<float> elements<float>(const ConstTensorView&);

}  // namespace psagen::kernels::reference
