// Configurations of Wan 2.1's VAE at any width, with the published latent statistics
// (spec/wan 4.6).
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "engine/config/model_config.h"

namespace psagen::testing {

inline engine::VaeConfig wan_vae_config(std::int64_t base_dim, std::vector<std::int64_t> dim_mult,
                                        std::int64_t num_res_blocks) {
  engine::VaeConfig config;
  config.base_dim = config.decoder_base_dim = base_dim;
  config.z_dim = 16;
  config.dim_mult = std::move(dim_mult);
  config.num_res_blocks = num_res_blocks;
  config.temporal_downsample = {false, true, true};
  config.latents_mean = {-0.7571, -0.7089, -0.9113, 0.1075,  -0.1745, 0.9653,  -0.1517, 1.5508,
                         0.4134,  -0.0715, 0.5517,  -0.3632, -0.1922, -0.9497, 0.2503,  -0.2921};
  config.latents_std = {2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
                        3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160};
  return config;
}

}  // namespace psagen::testing
