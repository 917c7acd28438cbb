#include "engine/pipeline/text_to_video.h"

#include <chrono>
#include <deque>
#include <optional>
#include <utility>

#include "engine/dit/dit.h"
#include "engine/pipeline/denoise_loop.h"
#include "engine/pipeline/guided_model.h"
#include "engine/pipeline/health.h"
#include "engine/pipeline/initial_noise.h"
#include "engine/pipeline/model_hash.h"
#include "engine/pipeline/prompt_cache.h"
#include "engine/pipeline/stage_tracker.h"
#include "engine/text/umt5_encoder.h"
#include "engine/vae/decoder.h"
#include "engine/weights/safetensors.h"
#include "kernels/backend.h"
#include "scheduler/guidance.h"

namespace psagen::engine {
namespace {

// One component: its mapped files and the network that reads them. On the CPU the parameters are
// the mapped pages themselves, so giving a component up means dropping both; a GPU has copies.
template <typename Network>
class Component {
 public:
  template <typename Config, typename... More>
  Component(const std::shared_ptr<const WeightSource>& source, const Config& config,
            Context& context, kernels::Ops& ops, DType product_dtype, const More&... more)
      : source_(source) {
    const Weights weights(source, context, product_dtype);
    network_.emplace(config, weights, ops, more...);
    weights.expect_all_read();
    source_->drop_from_memory();
  }

  const Network& operator*() const { return *network_; }
  const Network* operator->() const { return &*network_; }

  void unload() {
    network_.reset();
    source_->drop_from_memory();
  }

 private:
  std::shared_ptr<const WeightSource> source_;
  std::optional<Network> network_;
};

Shape latent_shape(const VideoRequest& request, const ModelConfig& config) {
  const std::int64_t stride = config.vae.spatial_stride();
  return {1, config.transformer.in_channels,
          (request.num_frames - 1) / config.vae.temporal_stride() + 1, request.height / stride,
          request.width / stride};
}

Tensor initial_latent(kernels::Ops& ops, const Shape& shape, std::uint64_t seed) {
  std::vector<float> noise(static_cast<std::size_t>(shape.num_elements()));
  TorchCpuGenerator(seed).normal(noise);
  Tensor latent(ops.context().allocator(), DType::kF32, shape);
  ops.copy(ConstTensorView(reinterpret_cast<const std::byte*>(noise.data()), DType::kF32, shape,
                           Device{}),
           latent);
  return latent;
}

// The decoder's frames are contiguous [T', H, W, 3] bytes.
void hand_over(ConstTensorView rgb, const FrameSink& sink) {
  const std::int64_t height = rgb.dim(1);
  const std::int64_t width = rgb.dim(2);
  const std::size_t frame_bytes = static_cast<std::size_t>(height * width * 3);
  const std::span<const std::uint8_t> bytes(rgb.data<std::uint8_t>(), rgb.num_bytes());
  for (std::int64_t t = 0; t < rgb.dim(0); ++t)
    sink({.rgb = bytes.subspan(static_cast<std::size_t>(t) * frame_bytes, frame_bytes),
          .width = width,
          .height = height});
}

}  // namespace

namespace {

// Reports steps when they are done. A GPU is behind the program: it must always have the next step
// queued, so a step is waited for only when the one after it has been queued.
class StepReporter {
 public:
  StepReporter(Context& context, const std::vector<scheduler::StepPlan>& plans,
               ConstTensorView nonfinite, RunReport& report, StageTracker& stages)
      : runtime_(context.runtime()),
        plans_(plans),
        health_(context, nonfinite),
        report_(report),
        stages_(stages) {}

  // The next step has been queued, on a CPU done.
  void queued(const DensityTotals& density) {
    const double calls = static_cast<double>(density.calls);
    const StepReport step = {.seconds = 0.0,
                             .sigma = plans_[next_].sigma,
                             .sparse = density.sparse_calls > 0,
                             .nominal_density = density.nominal / calls,
                             .executed_density = density.executed / calls};
    waiting_.push_back({step, health_.fetch(static_cast<std::int64_t>(next_))});
    ++next_;
    if (runtime_ == nullptr || waiting_.size() > 1) finish_first();
  }

  void finish() {
    while (!waiting_.empty()) finish_first();
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    StepReport report;
    std::uint64_t ticket;
  };

  void finish_first() {
    if (runtime_ != nullptr) runtime_->wait(waiting_.front().ticket);
    health_.check(static_cast<std::int64_t>(report_.steps.size()),
                  static_cast<std::int64_t>(plans_.size()));
    const Clock::time_point now = Clock::now();
    waiting_.front().report.seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    report_.steps.push_back(waiting_.front().report);
    waiting_.pop_front();
    stages_.advance(static_cast<std::int64_t>(report_.steps.size()));
  }

  DeviceRuntime* runtime_;
  const std::vector<scheduler::StepPlan>& plans_;
  LayerHealth health_;
  RunReport& report_;
  StageTracker& stages_;
  std::size_t next_ = 0;
  std::deque<Waiting> waiting_;
  Clock::time_point last_ = Clock::now();
};

}  // namespace

struct TextToVideo::Impl {
  Impl(const std::filesystem::path& directory, Context& the_context, const PipelineOptions& options)
      : context(the_context),
        streamed_blocks(options.streamed_blocks),
        ops(kernels::make_ops(the_context)),
        config(read_model_config(directory)),
        tokenizer(directory / "tokenizer",
                  static_cast<std::int32_t>(config.text_encoder.eos_token_id),
                  config.text_encoder.vocab_size),
        text_source(open_safetensors(directory / "text_encoder", "model")),
        dit_source(open_safetensors(directory / "transformer", "diffusion_pytorch_model")),
        vae_source(open_safetensors(directory / "vae", "diffusion_pytorch_model")) {
    if (options.prompt_cache.empty()) return;
    cache.emplace(options.prompt_cache,
                  concat(text_encoder_key(directory), ' ', dtype_name(umt5_dtype(the_context)), ' ',
                         static_cast<int>(the_context.device().kind)));
  }

  // Prompt and, where guidance wants it, negative prompt.
  std::vector<std::vector<std::int32_t>> tokenize(const VideoRequest& request) const;
  // As the encoder gives them, empty where the cache has not got them.
  std::vector<Tensor> find_encoded(const std::vector<std::vector<std::int32_t>>& prompts);
  void keep_encoded(const std::vector<std::vector<std::int32_t>>& prompts,
                    const std::vector<Tensor>& encoded);
  std::vector<Tensor> encode(const Umt5Encoder& encoder,
                             const std::vector<std::vector<std::int32_t>>& prompts,
                             StageTracker& stages);
  void denoise(const VideoRequest& request, const Dit& dit, const std::vector<Tensor>& encoded,
               TensorView latent, StageTracker& stages, RunReport& report);
  void decode(const VideoRequest& request, const VaeDecoder& vae, ConstTensorView latent,
              const FrameSink& sink, StageTracker& stages);

  Context& context;
  std::int64_t streamed_blocks;
  std::unique_ptr<kernels::Ops> ops;
  ModelConfig config;
  Tokenizer tokenizer;
  std::shared_ptr<const WeightSource> text_source;
  std::shared_ptr<const WeightSource> dit_source;
  std::shared_ptr<const WeightSource> vae_source;
  std::optional<PromptCache> cache;
};

std::vector<std::vector<std::int32_t>> TextToVideo::Impl::tokenize(
    const VideoRequest& request) const {
  const std::int64_t limit = config.defaults.max_text_tokens;
  std::vector<std::vector<std::int32_t>> prompts = {tokenizer.encode(request.prompt, limit).ids};
  if (scheduler::guidance_weights(request.guidance_scale).needs_negative())
    prompts.push_back(tokenizer.encode(request.negative_prompt, limit).ids);
  return prompts;
}

std::vector<Tensor> TextToVideo::Impl::find_encoded(
    const std::vector<std::vector<std::int32_t>>& prompts) {
  if (!cache) return {};
  const DType dtype = umt5_dtype(context);
  const std::size_t row_bytes =
      static_cast<std::size_t>(config.text_encoder.d_model) * dtype_size(dtype);
  std::size_t num_rows = 0;
  for (const std::vector<std::int32_t>& prompt : prompts) num_rows += prompt.size();
  const auto values = cache->find(prompts, num_rows * row_bytes);
  if (!values) return {};
  std::vector<Tensor> encoded;
  const std::byte* next = values->data();
  for (const std::vector<std::int32_t>& prompt : prompts) {
    const Shape shape = {1, static_cast<std::int64_t>(prompt.size()), config.text_encoder.d_model};
    ops->copy(ConstTensorView(next, dtype, shape, Device{}),
              encoded.emplace_back(context.allocator(), dtype, shape));
    next += prompt.size() * row_bytes;
  }
  return encoded;
}

void TextToVideo::Impl::keep_encoded(const std::vector<std::vector<std::int32_t>>& prompts,
                                     const std::vector<Tensor>& encoded) {
  if (!cache) return;
  std::vector<std::byte> values;
  for (const Tensor& rows : encoded) {
    const ConstTensorView view = rows;
    const std::size_t begin = values.size();
    values.resize(begin + view.num_bytes());
    ops->copy(view, TensorView(values.data() + begin, view.dtype(), view.shape(), Device{}));
  }
  cache->keep(prompts, values);
}

std::vector<Tensor> TextToVideo::Impl::encode(const Umt5Encoder& encoder,
                                              const std::vector<std::vector<std::int32_t>>& prompts,
                                              StageTracker& stages) {
  stages.begin(Stage::kEncodeText, config.text_encoder.num_layers);
  std::vector<Tensor> encoded = encoder.encode(
      *ops, prompts, [&stages](std::int64_t done, std::int64_t) { stages.advance(done); });
  for (const Tensor& rows : encoded) expect_finite(*ops, rows, "the text encoder's output");
  stages.end();
  return encoded;
}

void TextToVideo::Impl::denoise(const VideoRequest& request, const Dit& dit,
                                const std::vector<Tensor>& encoded, TensorView latent,
                                StageTracker& stages, RunReport& report) {
  stages.begin(Stage::kDenoise, request.num_steps);
  const std::int64_t max_tokens = config.defaults.max_text_tokens;
  const TextContext positive = dit.encode_text(*ops, encoded.front(), max_tokens);
  const TextContext negative =
      encoded.size() > 1 ? dit.encode_text(*ops, encoded.back(), max_tokens) : TextContext();
  GuidedModel model(*ops, dit, latent.shape(), request.attention,
                    scheduler::guidance_weights(request.guidance_scale), positive, negative);
  report.num_video_tokens = model.num_tokens();

  const std::vector<scheduler::StepPlan> plans =
      scheduler::plan_steps(request.solver, request.num_steps, request.shift);
  DenoiseLoop loop(*ops, latent.shape(), plans);
  StepReporter reporter(context, plans, model.nonfinite(), report, stages);
  const auto velocity = [&](std::int64_t step, const scheduler::StepPlan& plan,
                            ConstTensorView sample, TensorView out) {
    model(*ops, sample, plan.timestep, {.step = step, .num_steps = request.num_steps}, out);
  };
  const auto step_done = [&](std::int64_t, ConstTensorView) { reporter.queued(model.density()); };
  loop.run(*ops, velocity, latent, step_done);
  reporter.finish();
  stages.end();
}

void TextToVideo::Impl::decode(const VideoRequest& request, const VaeDecoder& vae,
                               ConstTensorView latent, const FrameSink& sink,
                               StageTracker& stages) {
  stages.begin(Stage::kDecode, request.num_frames);
  std::int64_t frames_done = 0;
  vae.decode(*ops, latent,
             [&](ConstTensorView rgb) {
               hand_over(rgb, sink);
               frames_done += rgb.dim(0);
               stages.advance(frames_done);
             },
             {});
  stages.end();
}

TextToVideo::TextToVideo(const std::filesystem::path& model_directory, Context& context,
                         const PipelineOptions& options)
    : impl_(std::make_unique<Impl>(model_directory, context, options)) {}

TextToVideo::~TextToVideo() = default;

const ModelConfig& TextToVideo::config() const { return impl_->config; }

const Tokenizer& TextToVideo::tokenizer() const { return impl_->tokenizer; }

std::string TextToVideo::model_hash() const {
  return hash_model_directory(impl_->config.directory);
}

RunReport TextToVideo::generate(const VideoRequest& request, const FrameSink& sink,
                                const ProgressCallback& progress) {
  validate(request, impl_->config);
  Impl& impl = *impl_;
  RunReport report;
  StageTracker stages(progress);
  const std::vector<std::vector<std::int32_t>> prompts = impl.tokenize(request);
  report.num_prompt_tokens = static_cast<std::int64_t>(prompts.front().size());

  // A GPU holds one of text encoder and denoiser at a time: the first is used for a moment. On the
  // CPU, where loading is mapping, all are opened at once, so that a bad tensor shows before
  // minutes of work.
  const bool is_gpu = impl.context.runtime() != nullptr;
  const auto wait = [&] {
    if (is_gpu) impl.context.runtime()->synchronize();
  };
  const DType dtype = impl.context.compute_dtype();
  std::optional<Component<Umt5Encoder>> text_encoder;
  std::optional<Component<Dit>> dit;
  std::optional<Component<VaeDecoder>> vae;
  const auto load_text_encoder = [&] {
    text_encoder.emplace(impl.text_source, impl.config.text_encoder, impl.context, *impl.ops,
                         umt5_dtype(impl.context));
    wait();
  };
  const auto load_rest = [&](std::int64_t done) {
    dit.emplace(impl.dit_source, impl.config.transformer, impl.context, *impl.ops, dtype,
                impl.streamed_blocks);
    stages.advance(done + 1);
    vae.emplace(impl.vae_source, impl.config.vae, impl.context, *impl.ops, dtype);
    wait();
  };

  std::vector<Tensor> encoded = impl.find_encoded(prompts);
  const bool is_kept = !encoded.empty();
  stages.begin(Stage::kLoad, is_kept ? 2 : is_gpu ? 1 : 3);
  if (!is_kept) {
    load_text_encoder();
    if (!is_gpu) stages.advance(1);
  }
  if (!is_gpu) load_rest(is_kept ? 0 : 1);
  if (is_gpu && is_kept) load_rest(0);
  stages.end();
  if (is_kept) {
    stages.begin(Stage::kEncodeText, impl.config.text_encoder.num_layers);
    stages.end();
  } else {
    encoded = impl.encode(**text_encoder, prompts, stages);
    impl.keep_encoded(prompts, encoded);
    text_encoder->unload();
  }
  if (!dit) {
    stages.begin(Stage::kLoad, 2);
    load_rest(0);
    stages.end();
  }
  Tensor latent = initial_latent(*impl.ops, latent_shape(request, impl.config), request.seed);
  impl.denoise(request, **dit, encoded, latent, stages, report);
  dit->unload();
  impl.context.workspace().trim();
  impl.decode(request, **vae, latent, sink, stages);
  impl.context.workspace().trim();
  report.stages = stages.take_reports();
  return report;
}

}  // namespace psagen::engine
