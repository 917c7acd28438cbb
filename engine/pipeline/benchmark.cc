#include "engine/pipeline/benchmark.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <span>
#include <utility>

#include "engine/dit/dit.h"
#include "engine/media/video_writer.h"
#include "engine/pipeline/denoise_loop.h"
#include "engine/pipeline/guided_model.h"
#include "engine/pipeline/initial_noise.h"
#include "engine/pipeline/model_flops.h"
#include "engine/text/umt5_encoder.h"
#include "engine/vae/decoder.h"
#include "engine/weights/random_weights.h"
#include "kernels/backend.h"
#include "kernels/psa/psa_args.h"
#include "scheduler/guidance.h"
#include "scheduler/solver.h"

namespace psagen::engine {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kNegativeTokens = 16;  // of a whole run's negative prompt

Measurement named(std::string part, std::string shape) {
  Measurement measurement;
  measurement.part = std::move(part);
  measurement.shape = std::move(shape);
  return measurement;
}

void wait_for(Context& context) {
  if (context.runtime() != nullptr) context.runtime()->synchronize();
}

double seconds_of(Context& context, const std::function<void()>& run) {
  wait_for(context);
  const Clock::time_point start = Clock::now();
  run();
  wait_for(context);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Rounds follow each other, or a GPU would wait for the first op of each; a CPU needs one.
int zone_rounds(Context& context, const BenchmarkRequest& request) {
  return context.runtime() != nullptr ? request.rounds : 1;
}

std::vector<ZoneTime> zone_times(Context& context, const BenchmarkRequest& request,
                                 const std::function<void()>& run) {
  const int rounds = zone_rounds(context, request);
  ZoneTimes times(context);
  for (int i = 0; i < rounds; ++i) {
    request.go_on();
    run();
  }
  std::vector<ZoneTime> zones = times.read();
  for (ZoneTime& zone : zones) {
    zone.calls /= rounds;
    zone.seconds /= rounds;
  }
  return zones;
}

void measure(Context& context, const BenchmarkRequest& request, const std::function<void()>& run,
             Measurement& measurement) {
  for (int i = 0; i < request.warmup_rounds; ++i) {
    request.go_on();
    run();
  }
  for (int i = 0; i < request.rounds; ++i) {
    request.go_on();
    measurement.seconds.push_back(seconds_of(context, run));
  }
  measurement.peak_bytes = context.allocator().peak_bytes();
  measurement.zones = zone_times(context, request, run);
}

Tensor random_tensor(kernels::Ops& ops, DType dtype, const Shape& shape, std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(shape.num_elements()));
  TorchCpuGenerator(seed).normal(values);
  Tensor tensor(ops.context().allocator(), dtype, shape);
  ops.copy(ConstTensorView(reinterpret_cast<const std::byte*>(values.data()), DType::kF32, shape,
                           Device{}),
           tensor);
  wait_for(ops.context());
  return tensor;
}

Shape latent_shape(const BenchmarkRequest& request) {
  const VaeConfig& vae = request.model.vae;
  return {1, request.model.transformer.in_channels,
          (request.num_frames - 1) / vae.temporal_stride() + 1,
          request.height / vae.spatial_stride(), request.width / vae.spatial_stride()};
}

double num_tokens(const BenchmarkRequest& request) {
  const Shape latent = latent_shape(request);
  return static_cast<double>(latent[2] * (latent[3] / 2) * (latent[4] / 2));
}

TransformerConfig transformer_of(const BenchmarkRequest& request) {
  TransformerConfig config = request.model.transformer;
  if (request.num_layers > 0) config.num_layers = request.num_layers;
  return config;
}

std::string tokens_text(double tokens, const TransformerConfig& config) {
  return concat(static_cast<std::int64_t>(tokens), " tokens, ", config.num_attention_heads,
                " heads of ", config.attention_head_dim);
}

std::vector<std::int32_t> token_ids(std::int64_t count, const TextEncoderConfig& config) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<std::int32_t>(i * 37 % config.vocab_size));
  return ids;
}

void write_frames(ConstTensorView rgb, VideoWriter& writer) {
  const std::size_t frame_bytes = rgb.num_bytes() / static_cast<std::size_t>(rgb.dim(0));
  const std::span<const std::uint8_t> bytes(rgb.data<std::uint8_t>(), rgb.num_bytes());
  for (std::int64_t t = 0; t < rgb.dim(0); ++t)
    writer.write({.rgb = bytes.subspan(static_cast<std::size_t>(t) * frame_bytes, frame_bytes),
                  .width = rgb.dim(2),
                  .height = rgb.dim(1)});
}

// Self-attention of one layer from the projections of q and k on.
class AttentionLayer {
 public:
  AttentionLayer(kernels::Ops& ops, const TransformerConfig& config, std::int64_t tokens,
                 const AttentionConfig& attention)
      : ops_(ops), scale_(1.0 / std::sqrt(static_cast<double>(config.attention_head_dim))) {
    Context& context = ops.context();
    const Shape heads = {1, tokens, config.num_attention_heads, config.attention_head_dim};
    const Shape angles = {tokens, config.attention_head_dim / 2};
    projected_q_ = random_tensor(ops, DType::kF32, {1, tokens, config.dim()}, 1);
    projected_k_ = random_tensor(ops, DType::kF32, {1, tokens, config.dim()}, 6);
    gamma_ = random_tensor(ops, DType::kF32, {config.dim()}, 2);
    cosine_ = random_tensor(ops, DType::kF32, angles, 3);
    sine_ = random_tensor(ops, DType::kF32, angles, 4);
    v_ = random_tensor(ops, context.compute_dtype(), heads, 5);
    q_ = Tensor(context.allocator(), context.score_dtype(), heads);
    k_ = Tensor(context.allocator(), context.score_dtype(), heads);
    out_ = Tensor(context.allocator(), context.compute_dtype(), heads);
    if (attention.kind == AttentionKind::kPyramid)
      sparse_ = std::make_unique<kernels::PyramidSparseAttention>(ops, 1, tokens, heads[2],
                                                                  heads[3], attention.psa);
  }

  bool pools_in_norm() const { return sparse_ != nullptr && sparse_->pools_in_norm(); }

  void norm(bool pool) {
    for (const bool is_key : {false, true}) {
      kernels::NormPool pooled;
      if (pool) pooled = is_key ? sparse_->key_pool(0) : sparse_->query_pool(0, scale_);
      ops_.rms_norm_rope({.x = is_key ? projected_k_ : projected_q_,
                          .gamma = gamma_,
                          .rope_cos = cosine_,
                          .rope_sin = sine_,
                          .y = is_key ? k_ : q_,
                          .pool = pooled.keys || pooled.queries ? &pooled : nullptr});
    }
  }

  void attend(bool pooled, const kernels::PsaDensity& density = {}) {
    if (sparse_)
      sparse_->forward(ops_, q_, k_, v_, scale_, {.pooled = pooled}, out_, {}, density);
    else
      ops_.attention({.q = q_, .k = k_, .v = v_, .scale = scale_, .out = out_});
  }

  // Of a call; 0: dense.
  double executed_density() {
    if (!sparse_) return 0.0;
    const Shape heads = {1, q_.shape()[2]};
    Tensor density(ops_.context().allocator(), DType::kF32, heads);
    attend(false, {.nominal = {}, .executed = density});
    std::vector<float> values(static_cast<std::size_t>(heads[1]));
    ops_.copy(density, TensorView(reinterpret_cast<std::byte*>(values.data()), DType::kF32, heads,
                                  Device{}));
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }

 private:
  kernels::Ops& ops_;
  double scale_;
  Tensor projected_q_, projected_k_, gamma_, cosine_, sine_, q_, k_, v_, out_;
  std::unique_ptr<kernels::PyramidSparseAttention> sparse_;
};

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t upper = values.size() / 2, lower = (values.size() - 1) / 2;
  return (values[lower] + values[upper]) / 2;
}

Measurement measure_product(Context& context, const BenchmarkRequest& request) {
  const std::unique_ptr<kernels::Ops> ops = kernels::make_ops(context);
  const std::int64_t size = context.runtime() != nullptr ? 8192 : 2048;
  const DType dtype = context.compute_dtype();
  // Random as what it stands for, or a GPU would draw less power and run faster; a part of the
  // rows, again and again.
  constexpr std::int64_t kCopies = 16;
  const Tensor rows = random_tensor(*ops, dtype, {size / kCopies, size}, 1);
  Tensor x(context.allocator(), dtype, {size, size}), weight(context.allocator(), dtype, x.shape());
  for (Tensor* matrix : {&x, &weight})
    for (std::int64_t i = 0; i < kCopies; ++i)
      ops->copy(rows, matrix->view().slice(0, i * size / kCopies, (i + 1) * size / kCopies));
  Tensor y(context.allocator(), dtype, {size, size});
  Measurement measurement = named("product", concat(size, " x ", size, " x ", size));
  measurement.flops = 2.0 * std::pow(static_cast<double>(size), 3);
  measure(
      context, request, [&] { ops->linear({.x = x, .weight = weight, .y = y}); }, measurement);
  return measurement;
}

Measurement measure_attention(Context& context, const BenchmarkRequest& request) {
  const std::unique_ptr<kernels::Ops> ops = kernels::make_ops(context);
  const TransformerConfig config = transformer_of(request);
  const double tokens = num_tokens(request);
  AttentionLayer layer(*ops, config, static_cast<std::int64_t>(tokens), request.attention);
  Measurement measurement = named("attention", tokens_text(tokens, config));
  measurement.flops = 4 * tokens * tokens * static_cast<double>(config.dim());
  layer.norm(false);
  measurement.executed_density = layer.executed_density();
  if (!layer.pools_in_norm()) {
    measure(
        context, request, [&] { layer.attend(false); }, measurement);
    return measurement;
  }
  // What the norm does for it is part of the layer, the norm itself is not.
  Measurement norm = named("norm", measurement.shape);
  measure(
      context, request, [&] { layer.norm(false); }, norm);
  measure(
      context, request,
      [&] {
        layer.norm(true);
        layer.attend(true);
      },
      measurement);
  for (double& seconds : measurement.seconds) seconds -= median(norm.seconds);
  for (ZoneTime& zone : measurement.zones)
    for (const ZoneTime& plain : norm.zones)
      if (zone.zone == plain.zone) zone.seconds -= plain.seconds;
  return measurement;
}

Measurement measure_forward(Context& context, const BenchmarkRequest& request) {
  const std::unique_ptr<kernels::Ops> ops = kernels::make_ops(context);
  const TransformerConfig config = transformer_of(request);
  const Dit dit(config, Weights(std::make_shared<RandomWeights>(), context), *ops);
  const Shape shape = latent_shape(request);
  // A forward by itself finds no levels of earlier ones.
  AttentionConfig attention = request.attention;
  attention.reuse_steps = 1;
  DitActivations activations(*ops, config, shape, attention);
  activations.density.measure(false);
  const Tensor latent = random_tensor(*ops, DType::kF32, shape, 1);
  Tensor velocity(context.allocator(), DType::kF32, shape);
  const Tensor encoded = random_tensor(*ops, context.compute_dtype(),
                                       {1, request.num_text_tokens, config.text_dim}, 2);
  const TextContext text = dit.encode_text(*ops, encoded, request.num_text_tokens);
  const double tokens = num_tokens(request);
  Measurement measurement =
      named("forward", concat(tokens_text(tokens, config), ", ", config.num_layers, " layers, ",
                              request.num_text_tokens, " text tokens"));
  measurement.flops = forward_flops(config, tokens, static_cast<double>(request.num_text_tokens));
  // The last step of many: past every dense warm-up.
  const StepPosition position = {.step = 49, .num_steps = 50};
  measure(
      context, request,
      [&] { dit.forward(*ops, latent, 500.0, position, text, activations, velocity); },
      measurement);
  return measurement;
}

Measurement measure_text(Context& context, const BenchmarkRequest& request) {
  const std::unique_ptr<kernels::Ops> ops = kernels::make_ops(context);
  const TextEncoderConfig& config = request.model.text_encoder;
  const Umt5Encoder encoder(
      config, Weights(std::make_shared<RandomWeights>(), context, umt5_dtype(context)), *ops);
  const std::vector<std::vector<std::int32_t>> prompts = {
      token_ids(request.num_text_tokens, config)};
  Measurement measurement = named("text", concat(request.num_text_tokens, " tokens"));
  measurement.flops = text_flops(config, static_cast<double>(request.num_text_tokens));
  measure(
      context, request, [&] { encoder.encode(*ops, prompts); }, measurement);
  return measurement;
}

Measurement measure_decode(Context& context, const BenchmarkRequest& request) {
  const std::unique_ptr<kernels::Ops> ops = kernels::make_ops(context);
  const VaeDecoder decoder(request.model.vae, Weights(std::make_shared<RandomWeights>(), context),
                           *ops);
  const Tensor latent = random_tensor(*ops, DType::kF32, latent_shape(request), 1);
  Measurement measurement =
      named("decode", concat(request.width, "x", request.height, "x", request.num_frames));
  measurement.flops = decode_flops(request.model.vae, latent_shape(request));
  std::int64_t frames = 0;
  measure(
      context, request,
      [&] { decoder.decode(*ops, latent, [&](ConstTensorView rgb) { frames += rgb.dim(0); }, {}); },
      measurement);
  const std::int64_t runs = request.warmup_rounds + request.rounds + zone_rounds(context, request);
  PSAGEN_CHECK(frames == runs * request.num_frames, ErrorCode::kInternal, "the decoder gave ",
               frames, " frames in ", runs, " runs, wanted ", runs * request.num_frames);
  return measurement;
}

Measurement measure_run(Context& context, const BenchmarkRequest& request) {
  const std::unique_ptr<kernels::Ops> ops = kernels::make_ops(context);
  const auto random = std::make_shared<RandomWeights>();
  const TextEncoderConfig& text_config = request.model.text_encoder;
  const Umt5Encoder encoder(text_config, Weights(random, context, umt5_dtype(context)), *ops);
  const Dit dit(transformer_of(request), Weights(random, context), *ops);
  const VaeDecoder decoder(request.model.vae, Weights(random, context), *ops);
  const std::vector<std::vector<std::int32_t>> prompts = {
      token_ids(request.num_text_tokens, text_config), token_ids(kNegativeTokens, text_config)};
  const Shape shape = latent_shape(request);

  const auto make_video = [&](std::int64_t num_steps) {
    const std::vector<scheduler::StepPlan> plans =
        scheduler::plan_steps(scheduler::SolverKind::kUniPC, num_steps, 3.0);
    const std::vector<Tensor> encoded = encoder.encode(*ops, prompts);
    const std::int64_t padded = std::max(request.num_text_tokens, kNegativeTokens);
    const TextContext positive = dit.encode_text(*ops, encoded[0], padded);
    const TextContext negative = dit.encode_text(*ops, encoded[1], padded);
    Tensor latent = random_tensor(*ops, DType::kF32, shape, 1);
    {
      GuidedModel model(*ops, dit, shape, request.attention, scheduler::guidance_weights(5.0),
                        positive, negative);
      model.measure_density(false);
      DenoiseLoop loop(*ops, shape, plans);
      loop.run(*ops,
               [&](std::int64_t step, const scheduler::StepPlan& plan, ConstTensorView sample,
                   TensorView velocity) {
                 request.go_on();
                 model(*ops, sample, plan.timestep, {.step = step, .num_steps = num_steps},
                       velocity);
               },
               latent, {});
    }
    context.workspace().trim();
    VideoOptions options;
    options.width = request.width;
    options.height = request.height;
    options.num_frames = request.num_frames;
    options.overwrite = true;
    const std::unique_ptr<VideoWriter> writer = open_mp4(request.video, options);
    decoder.decode(*ops, latent, [&](ConstTensorView rgb) { write_frames(rgb, *writer); }, {});
    writer->finish();
    context.workspace().trim();
  };
  Measurement measurement =
      named("run", concat(request.width, "x", request.height, "x", request.num_frames, ", ",
                          request.num_steps, " steps with guidance"));
  const double text_tokens = static_cast<double>(request.num_text_tokens);
  measurement.flops = text_flops(text_config, text_tokens) +
                      text_flops(text_config, static_cast<double>(kNegativeTokens)) +
                      2.0 * static_cast<double>(request.num_steps) *
                          forward_flops(transformer_of(request), num_tokens(request), text_tokens) +
                      decode_flops(request.model.vae, latent_shape(request));
  make_video(1);
  for (int i = 0; i < request.rounds; ++i)
    measurement.seconds.push_back(seconds_of(context, [&] { make_video(request.num_steps); }));
  measurement.peak_bytes = context.allocator().peak_bytes();
  return measurement;
}

}  // namespace psagen::engine
