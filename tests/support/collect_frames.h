// Gathers what a VAE decoder hands to its sink.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/vae/decoder.h"

namespace psagen::testing {

template <typename T>
struct CollectedFrames {
  std::int64_t frames = 0, height = 0, width = 0;
  std::vector<T> values;                    // [frames, height, width, 3]
  std::vector<std::int64_t> chunk_lengths;  // frames per call

  engine::VaeDecoder::FrameSink sink() {
    return [this](ConstTensorView rgb) {
      frames += rgb.dim(0);
      height = rgb.dim(1);
      width = rgb.dim(2);
      chunk_lengths.push_back(rgb.dim(0));
      values.insert(values.end(), rgb.data<T>(), rgb.data<T>() + rgb.num_elements());
    };
  }

  T at(std::int64_t channel, std::int64_t frame, std::int64_t y, std::int64_t x) const {
    return values[((frame * height + y) * width + x) * 3 + channel];
  }
};

}  // namespace psagen::testing
