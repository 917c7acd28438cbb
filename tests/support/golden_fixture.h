// A fixture of scripts/export_golden.py: a JSON file that says how to get the results, a
// safetensors file that holds them. Also: how far two tensors are apart.
#pragma once

#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "engine/config/model_config.h"
#include "engine/weights/safetensors.h"
#include "kernels/core/error.h"
#include "kernels/core/tensor.h"

namespace psagen::testing {

using Json = nlohmann::json;

class GoldenFixture {
 public:
  explicit GoldenFixture(const std::string& name) {
    const std::string directory = PSAGEN_SOURCE_DIR "/tests/data/golden";
    std::ifstream(directory + "/" + name + ".json") >> json_;
    source_ = engine::open_safetensors(directory, name);
  }

  const Json& json() const { return json_; }

  template <typename T>
  std::span<const T> values(const std::string& name) const {
    const engine::TensorEntry& entry = find(name);
    PSAGEN_CHECK(entry.dtype == dtype_of<T>::value, ErrorCode::kInternal, name, " is ",
                 dtype_name(entry.dtype));
    return {reinterpret_cast<const T*>(entry.bytes), entry.num_bytes / sizeof(T)};
  }
  Shape shape(const std::string& name) const { return find(name).shape; }

 private:
  const engine::TensorEntry& find(const std::string& name) const {
    const engine::TensorEntry* entry = source_->find(name);
    PSAGEN_CHECK(entry != nullptr, ErrorCode::kNotFound, "no tensor ", name, " in the fixture");
    return *entry;
  }

  Json json_;
  std::unique_ptr<engine::WeightSource> source_;
};

inline Shape shape_from(const Json& dims) {
  Shape shape;
  for (const Json& dim : dims) shape.push_back(dim.get<std::int64_t>());
  return shape;
}

inline std::map<std::string, Shape> shapes_from(const Json& tensors) {
  std::map<std::string, Shape> shapes;
  for (const auto& [name, dims] : tensors.items()) shapes[name] = shape_from(dims);
  return shapes;
}

inline engine::TextEncoderConfig text_encoder_config_from(const Json& json) {
  engine::TextEncoderConfig config;
  config.vocab_size = json.at("vocab_size");
  config.d_model = json.at("d_model");
  config.d_kv = json.at("d_kv");
  config.d_ff = json.at("d_ff");
  config.num_layers = json.at("num_layers");
  config.num_heads = json.at("num_heads");
  return config;
}

inline engine::TransformerConfig transformer_config_from(const Json& json) {
  engine::TransformerConfig config;
  config.num_attention_heads = json.at("num_attention_heads");
  config.attention_head_dim = json.at("attention_head_dim");
  config.in_channels = json.at("in_channels");
  config.out_channels = json.at("out_channels");
  config.text_dim = json.at("text_dim");
  config.freq_dim = json.at("freq_dim");
  config.ffn_dim = json.at("ffn_dim");
  config.num_layers = json.at("num_layers");
  return config;
}

// || found - wanted ||_2 / || wanted ||_2
template <typename Found, typename Wanted>
double relative_l2(const Found& found, const Wanted& wanted) {
  PSAGEN_CHECK(found.size() == wanted.size(), ErrorCode::kInternal, found.size(),
               " values, wanted ", wanted.size());
  double difference = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double w = static_cast<double>(wanted[i]);
    const double d = static_cast<double>(found[i]) - w;
    difference += d * d;
    norm += w * w;
  }
  return std::sqrt(difference / norm);
}

// Peak signal-to-noise ratio of 8-bit values in decibels; infinite where they are equal.
inline double psnr(std::span<const std::uint8_t> found, std::span<const std::uint8_t> wanted) {
  PSAGEN_CHECK(found.size() == wanted.size(), ErrorCode::kInternal, found.size(),
               " values, wanted ", wanted.size());
  double sum = 0.0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double d = static_cast<double>(found[i]) - static_cast<double>(wanted[i]);
    sum += d * d;
  }
  return 10.0 * std::log10(255.0 * 255.0 * static_cast<double>(wanted.size()) / sum);
}

inline std::span<const float> floats_of(ConstTensorView view) {
  return {view.data<float>(), static_cast<std::size_t>(view.num_elements())};
}

inline Tensor tensor_of(Allocator& allocator, const Shape& shape, std::span<const float> values) {
  Tensor tensor(allocator, DType::kF32, shape);
  std::copy(values.begin(), values.end(), tensor.view().data<float>());
  return tensor;
}

}  // namespace psagen::testing
