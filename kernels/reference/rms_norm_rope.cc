#include "kernels/reference/rms_norm_rope.h"

#include "kernels/reference/elements.h"
#include "kernels/reference/norm.h"

namespace psagen::kernels::reference {

template <typename Real>
std::vector<Real> rms_norm_rope(const RmsNormRopeArgs& args) {
  auto y = rms_norm<Real>({args.x, args.gamma, args.eps, {}});
  const auto cosine = elements<Real>(args.rope_cos), sine = elements<Real>(args.rope_sin);
  const auto width = static_cast<std::size_t>(args.x.dim(2));
  const auto tokens = static_cast<std::size_t>(args.x.dim(1));
  const auto pairs = static_cast<std::size_t>(args.rope_cos.dim(1));
  for (std::size_t i = 0; i < y.size(); i += 2) {
    const std::size_t at = i / width % tokens * pairs + i / 2 % pairs;
    const Real a = y[i], b = y[i + 1];
    y[i] = a * cosine[at] - b * sine[at];
    y[i + 1] = a * sine[at] + b * cosine[at];
  }
  return y;
}

template std::vector<double> rms_norm_rope<double>(const RmsNormRopeArgs&);
template std::vector<float> rms_norm_rope<float>(const RmsNormRopeArgs&);

}  // namespace psagen::kernels::reference
