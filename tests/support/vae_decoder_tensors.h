// The tensors of a Wan 2.1 VAE decoder of any size: the names and shapes of spec/wan 1.8.
#pragma once

#include <map>
#include <string>

#include "engine/config/model_config.h"
#include "kernels/core/shape.h"

namespace psagen::testing {

class VaeDecoderTensors {
 public:
  explicit VaeDecoderTensors(const engine::VaeConfig& config) : config_(config) {
    const std::int64_t base = config.decoder_base_dim, top = base * config.dim_mult.back();
    conv("post_quant_conv", config.z_dim, config.z_dim, {1, 1, 1});
    conv("decoder.conv_in", config.z_dim, top, {3, 3, 3});
    resnet("decoder.mid_block.resnets.0.", top, top);
    shapes_["decoder.mid_block.attentions.0.norm.gamma"] = {top, 1, 1};
    conv("decoder.mid_block.attentions.0.to_qkv", top, 3 * top, {1, 1});
    conv("decoder.mid_block.attentions.0.proj", top, top, {1, 1});
    resnet("decoder.mid_block.resnets.1.", top, top);
    std::int64_t in = top;
    for (std::size_t i = 0; i < config.dim_mult.size(); ++i)
      in = stage(i, in, base * config.dim_mult[config.dim_mult.size() - 1 - i]);
    shapes_["decoder.norm_out.gamma"] = {in, 1, 1, 1};
    conv("decoder.conv_out", in, 3, {3, 3, 3});
  }

  const std::map<std::string, Shape>& shapes() const { return shapes_; }

 private:
  std::int64_t stage(std::size_t index, std::int64_t in, std::int64_t out) {
    const std::string name = "decoder.up_blocks." + std::to_string(index) + ".";
    for (std::int64_t i = 0; i <= config_.num_res_blocks; ++i)
      resnet(name + "resnets." + std::to_string(i) + ".", i == 0 ? in : out, out);
    const std::size_t upsamplers = config_.temporal_downsample.size();
    if (index == upsamplers) return out;
    conv(name + "upsamplers.0.resample.1", out, out / 2, {3, 3});
    if (config_.temporal_downsample[upsamplers - 1 - index])
      conv(name + "upsamplers.0.time_conv", out, 2 * out, {3, 1, 1});
    return out / 2;
  }

  void resnet(const std::string& name, std::int64_t in, std::int64_t out) {
    shapes_[name + "norm1.gamma"] = {in, 1, 1, 1};
    conv(name + "conv1", in, out, {3, 3, 3});
    shapes_[name + "norm2.gamma"] = {out, 1, 1, 1};
    conv(name + "conv2", out, out, {3, 3, 3});
    if (in != out) conv(name + "conv_shortcut", in, out, {1, 1, 1});
  }

  void conv(const std::string& name, std::int64_t in, std::int64_t out, const Shape& kernel) {
    Shape shape = {out, in};
    for (int i = 0; i < kernel.rank(); ++i) shape.push_back(kernel[i]);
    shapes_[name + ".weight"] = shape;
    shapes_[name + ".bias"] = {out};
  }

  engine::VaeConfig config_;
  std::map<std::string, Shape> shapes_;
};

}  // namespace psagen::testing
