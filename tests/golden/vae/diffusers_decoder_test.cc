// Miniature VAEs with random weights against Diffusers' AutoencoderKLWan, from
// scripts/golden_vae.py: dim_mult of each kind, one and two residual blocks, F32, BF16 and F16
// weights, frames that are not square, 1 to 5 latent frames.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "engine/vae/decoder.h"
#include "engine/weights/safetensors.h"
#include "kernels/backend.h"
#include "tests/support/collect_frames.h"
#include "tests/support/wan_vae_config.h"

namespace psagen::engine {
namespace {

using testing::CollectedFrames;

struct Fixture {
  std::string name;
  VaeConfig config;
};

Fixture shallow() {
  VaeConfig config = testing::wan_vae_config(4, {1, 2, 2, 4}, 1);
  config.z_dim = 4;
  config.latents_mean = {0.3, -0.7, 0.05, 1.1};
  config.latents_std = {1.5, 0.8, 2.25, 3.0};
  return {"shallow", config};
}

Fixture even_widths() {  // its file holds the encoder too
  return {"even_widths", testing::wan_vae_config(4, {1, 1, 2, 2}, 2)};
}

Fixture wan_widths() {  // BF16
  return {"wan_widths", testing::wan_vae_config(6, {1, 2, 4, 4}, 2)};
}

Fixture own_decoder_width() {  // F16, two upsamplers, time doubled in the second
  VaeConfig config = testing::wan_vae_config(4, {1, 2, 2}, 1);
  config.decoder_base_dim = 6;
  config.z_dim = 8;
  config.temporal_downsample = {true, false};
  config.latents_mean.clear();
  config.latents_std.clear();
  for (int i = 0; i < 8; ++i) {
    config.latents_mean.push_back(0.1 * i);
    config.latents_std.push_back(1.0 + 0.25 * i);
  }
  return {"own_decoder_width", config};
}

class DiffusersDecoder : public ::testing::TestWithParam<Fixture> {
 protected:
  DiffusersDecoder()
      : ops_(kernels::make_ops(context_)),
        weights_(open_safetensors(PSAGEN_SOURCE_DIR "/tests/data/golden", "vae_" + GetParam().name),
                 context_),
        decoder_(GetParam().config, weights_, *ops_) {}

  ConstTensorView golden(const std::string& name) const {
    const TensorEntry* const entry = weights_.source().find("golden." + name);
    PSAGEN_CHECK(entry != nullptr, ErrorCode::kNotFound, "no golden.", name);
    return {entry->bytes, entry->dtype, entry->shape, Device{}};
  }

  Context context_;
  std::unique_ptr<kernels::Ops> ops_;
  Weights weights_;
  VaeDecoder decoder_;
};

// ||ours - theirs|| / ||theirs|| over the frames we have; theirs is [3, F, H, W].
double relative_error(const CollectedFrames<float>& ours, ConstTensorView theirs) {
  const auto* const values = theirs.data<float>();
  const std::int64_t all_frames = theirs.dim(1);
  double difference = 0.0, size = 0.0;
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t t = 0; t < ours.frames; ++t)
      for (std::int64_t y = 0; y < ours.height; ++y)
        for (std::int64_t x = 0; x < ours.width; ++x) {
          const double wanted = values[((c * all_frames + t) * ours.height + y) * ours.width + x];
          const double error = ours.at(c, t, y, x) - wanted;
          difference += error * error;
          size += wanted * wanted;
        }
  return std::sqrt(difference / size);
}

TEST_P(DiffusersDecoder, GivesTheSameFrames) {
  const ConstTensorView latent = golden("latent");  // [1, C, 5, h, w]
  const ConstTensorView values = golden("values");  // [3, F, H, W]
  const std::int64_t stride = GetParam().config.temporal_stride();
  for (const std::int64_t latent_frames : {1, 2, 3, 5}) {
    SCOPED_TRACE(latent_frames);
    CollectedFrames<float> ours;
    decoder_.decode_values(*ops_, latent.slice(2, 0, latent_frames), ours.sink(), {});
    ASSERT_EQ(ours.frames, 1 + stride * (latent_frames - 1));
    ASSERT_EQ(ours.height, values.dim(2));
    ASSERT_EQ(ours.width, values.dim(3));
    EXPECT_LE(relative_error(ours, values), 5e-6);
  }
}

TEST_P(DiffusersDecoder, LeavesNoTensorUnread) {
  weights_.ignore("golden");
  EXPECT_NO_THROW(weights_.expect_all_read());
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DiffusersDecoder,
                         ::testing::Values(shallow(), even_widths(), wan_widths(),
                                           own_decoder_width()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace psagen::engine
