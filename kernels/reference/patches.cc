#include "kernels/reference/patches.h"

#include "kernels/reference/elements.h"

namespace psagen::kernels::reference {
namespace {

// Calls visit(latent index, token index, element going in, element coming out) for every element.
template <typename Visit>
void for_elements(const Shape& latent, const ConstTensorView& order, const Visit& visit) {
  const std::int64_t channels = latent[1], frames = latent[2], rows = latent[3] / 2,
                     columns = latent[4] / 2;
  const std::int64_t tokens = frames * rows * columns;
  for (std::int64_t batch = 0; batch < latent[0]; ++batch) {
    for (std::int64_t token = 0; token < tokens; ++token) {
      const std::int64_t raster = order ? order.data<std::int32_t>()[token] : token;
      const std::int64_t t = raster / (rows * columns);
      const std::int64_t h = raster / columns % rows, w = raster % columns;
      for (std::int64_t c = 0; c < channels; ++c)
        for (std::int64_t p = 0; p < 2; ++p)
          for (std::int64_t q = 0; q < 2; ++q)
            visit((((batch * channels + c) * frames + t) * 2 * rows + 2 * h + p) * 2 * columns +
                      2 * w + q,
                  (batch * tokens + token) * 4 * channels, (c * 2 + p) * 2 + q,
                  (p * 2 + q) * channels + c);
    }
  }
}

}  // namespace

std::vector<float> patchify(const PatchifyArgs& args) {
  const auto latent = elements<float>(args.latent);
  std::vector<float> tokens(latent.size());
  for_elements(args.latent.shape(), args.order, [&](auto pixel, auto token, auto going_in, auto) {
    tokens[static_cast<std::size_t>(token + going_in)] = latent[static_cast<std::size_t>(pixel)];
  });
  return tokens;
}

std::vector<float> unpatchify(const UnpatchifyArgs& args) {
  const auto tokens = elements<float>(args.tokens);
  std::vector<float> latent(tokens.size());
  for_elements(args.latent.shape(), args.order, [&](auto pixel, auto token, auto, auto coming_out) {
    latent[static_cast<std::size_t>(pixel)] = tokens[static_cast<std::size_t>(token + coming_out)];
  });
  return latent;
}

}  // namespace psagen::kernels::reference
