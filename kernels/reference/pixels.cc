#include "kernels/reference/pixels.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/elements.h"

namespace psagen::kernels::reference {

std::vector<std::uint8_t> to_rgb8(const ToRgb8Args& args) {
  std::vector<std::uint8_t> rgb;
  for (const float x : elements<float>(args.x)) {
    const float unit = (std::clamp(x, -1.0f, 1.0f) + 1.0f) / 2.0f;
    rgb.push_back(static_cast<std::uint8_t>(std::nearbyint(unit * 255.0f)));
  }
  return rgb;
}

}  // namespace psagen::kernels::reference
