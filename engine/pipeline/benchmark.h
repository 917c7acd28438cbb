// Times of the parts of a model, with random weights: what `psa-gen bench` runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/config/attention_config.h"
#include "engine/config/model_config.h"
#include "engine/pipeline/zone_times.h"
#include "kernels/ops.h"

namespace psagen::engine {

struct Measurement {
  std::string part;               // "forward", "attention", ...
  std::string shape;              // for people: "32760 tokens, 12 heads of 128, 30 layers"
  std::vector<double> seconds;    // of each round, in the order they ran
  double flops = 0.0;             // of one round; 2 per multiply-add, products only
  double executed_density = 0.0;  // of sparse attention by itself; 0: dense
  std::size_t peak_bytes = 0;     // of device memory while it ran, weights included
  std::vector<ZoneTime> zones;    // of a round: the mean of as many rounds, back to back
};

struct BenchmarkRequest {
  ModelConfig model;
  AttentionConfig attention;
  std::int64_t width = 832, height = 480, num_frames = 81;
  std::int64_t num_layers = 0;  // of the transformer; 0 takes all of them
  std::int64_t num_text_tokens = 512;
  std::int64_t num_steps = 50;  // of a whole run
  std::filesystem::path video;  // where a whole run writes its MP4; replaced
  int warmup_rounds = 2;
  int rounds = 10;
  // Called before each round and each step of a run; what it throws ends the measurement.
  std::function<void()> go_on = [] {};
};

// Of an even number the mean of the middle two; there is at least one.
double median(std::vector<double> values);

// One large matrix product: what the device reaches at its best, for the others to be held against.
Measurement measure_product(Context& context, const BenchmarkRequest& request);
// One self-attention of the transformer, q, k and v given; of a sparse one what it adds to the norm
// and rotation of q and k as well.
Measurement measure_attention(Context& context, const BenchmarkRequest& request);
// One forward of the transformer (no guidance).
Measurement measure_forward(Context& context, const BenchmarkRequest& request);
// The text encoder on one prompt.
Measurement measure_text(Context& context, const BenchmarkRequest& request);
// A whole decode, frames handed over to host memory.
Measurement measure_decode(Context& context, const BenchmarkRequest& request);
// From two prompts of text tokens to the finished MP4, guidance on, the model resident; a run of
// one step warms up.
Measurement measure_run(Context& context, const BenchmarkRequest& request);

}  // namespace psagen::engine
