#include "app/command_bench.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <filesystem>
#include <iomanip>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <vector>

#include "app/help_page.h"
#include "app/model_directory.h"
#include "app/option_table.h"
#include "app/version.h"
#include "engine/config/automatic_attention.h"
#include "engine/config/known_models.h"
#include "engine/config/nearest_name.h"
#include "engine/media/partial_file.h"
#include "engine/pipeline/benchmark.h"
#include "engine/pipeline/open_context.h"

namespace psagen::app {
namespace {

using Json = nlohmann::ordered_json;

struct BenchOptions {
  std::optional<std::string> like;
  std::optional<FrameSize> size;
  std::optional<std::int64_t> frames;
  std::optional<std::int64_t> layers;
  std::optional<std::int64_t> text_tokens;
  std::optional<std::string> attention;
  std::optional<std::int64_t> steps;
  std::optional<std::string> video;
  std::optional<std::int64_t> rounds;
  std::optional<std::string> device;
  std::optional<std::string> dtype;
  std::optional<std::int64_t> threads;
  std::optional<std::string> output;
  std::optional<bool> overwrite;
  std::optional<bool> help;
};

constexpr std::string_view kGroup = "Flags";
const auto kTable = std::to_array<Field<BenchOptions>>({
    {{.name = "like",
      .value = "NAME",
      .group = kGroup,
      .help = "wan2.1-1.3b, wan2.1-14b or default: whose shapes, with random weights (default: "
              "wan2.1-1.3b)"},
     &BenchOptions::like},
    {{.name = "size", .value = "WxH", .group = kGroup, .help = "frame size (default: the model's)"},
     &BenchOptions::size},
    {{.name = "frames",
      .value = "N",
      .group = kGroup,
      .help = "frames of the clip (default: the model's)",
      .lowest = 1},
     &BenchOptions::frames},
    {{.name = "layers",
      .value = "N",
      .group = kGroup,
      .help = "layers of the transformer (default: all)",
      .lowest = 1},
     &BenchOptions::layers},
    {{.name = "text-tokens",
      .value = "N",
      .group = kGroup,
      .help = "tokens of the prompt (default: 512)",
      .lowest = 1,
      .highest = 512},
     &BenchOptions::text_tokens},
    {{.name = "attention",
      .value = "KIND",
      .group = kGroup,
      .help = "auto, dense, psa[:PRESET] or block-sparse[:PRESET] (default: dense)"},
     &BenchOptions::attention},
    {{.name = "steps",
      .value = "N",
      .group = kGroup,
      .help = "run: steps of the solver (default: the model's)",
      .lowest = 1,
      .highest = 1000},
     &BenchOptions::steps},
    {{.name = "video",
      .value = "FILE",
      .group = kGroup,
      .help = "run: where its MP4 goes; replaced (default: psa-gen-bench.mp4)"},
     &BenchOptions::video},
    {{.name = "rounds",
      .value = "N",
      .group = kGroup,
      .help = "timed rounds of each part (default: 10)",
      .lowest = 1,
      .highest = 10000},
     &BenchOptions::rounds},
    {{.name = "device", .value = "NAME", .group = kGroup, .help = "auto, cpu, cuda or cuda:N"},
     &BenchOptions::device},
    {{.name = "dtype", .value = "NAME", .group = kGroup, .help = "f32, bf16 or f16"},
     &BenchOptions::dtype},
    {{.name = "threads",
      .value = "N",
      .group = kGroup,
      .help = "CPU threads (default: all)",
      .lowest = 1,
      .highest = 1024},
     &BenchOptions::threads},
    {{.name = "output", .letter = 'o', .value = "FILE", .group = kGroup, .help = "results as JSON"},
     &BenchOptions::output},
    {{.name = "overwrite", .group = kGroup, .help = "replace an existing file"},
     &BenchOptions::overwrite},
    {{.name = "help", .letter = 'h', .group = kGroup, .help = "this page"}, &BenchOptions::help},
});

struct Part {
  const char* name;
  engine::Measurement (*measure)(Context&, const engine::BenchmarkRequest&);
};
constexpr std::array kParts = {
    Part{"product", &engine::measure_product}, Part{"attention", &engine::measure_attention},
    Part{"forward", &engine::measure_forward}, Part{"text", &engine::measure_text},
    Part{"decode", &engine::measure_decode},   Part{"run", &engine::measure_run},
};

engine::BenchmarkRequest request_of(const BenchOptions& options) {
  engine::BenchmarkRequest request;
  const std::string like = options.like.value_or("wan2.1-1.3b");
  request.model = like == "default" ? engine::read_model_config(default_model_directory())
                                    : engine::known_model(like);
  const engine::GenerationDefaults& defaults = request.model.defaults;
  const FrameSize size = options.size.value_or(FrameSize{defaults.width, defaults.height});
  request.width = size.width;
  request.height = size.height;
  request.num_frames = options.frames.value_or(defaults.num_frames);
  const std::int64_t step = 2 * request.model.vae.spatial_stride();
  PSAGEN_CHECK(
      size.width > 0 && size.height > 0 && size.width % step == 0 && size.height % step == 0,
      ErrorCode::kInvalidArgument, "--size ", to_text(size), ": wanted multiples of ", step);
  const std::int64_t stride = request.model.vae.temporal_stride();
  PSAGEN_CHECK((request.num_frames - 1) % stride == 0, ErrorCode::kInvalidArgument, "--frames ",
               request.num_frames, ": wanted a multiple of ", stride, " and one more");
  request.attention = engine::resolve_attention(
      options.attention.value_or("dense"),
      engine::num_video_tokens(request.model, request.width, request.height, request.num_frames));
  request.num_layers = options.layers.value_or(0);
  request.num_text_tokens = options.text_tokens.value_or(defaults.max_text_tokens);
  request.num_steps = options.steps.value_or(defaults.num_steps);
  request.video = options.video.value_or("psa-gen-bench.mp4");
  request.rounds = static_cast<int>(options.rounds.value_or(request.rounds));
  return request;
}

double tflops(const engine::Measurement& m) { return m.flops / engine::median(m.seconds) / 1e12; }

// `best`: TFLOP/s of the large product, measured in the same run.
Json to_json(const engine::Measurement& m, double best) {
  const auto [low, high] = std::minmax_element(m.seconds.begin(), m.seconds.end());
  Json zones = Json::array();
  for (const engine::ZoneTime& zone : m.zones)
    zones.push_back({{"zone", zone.zone}, {"calls", zone.calls}, {"ms", zone.seconds * 1e3}});
  Json rounds = Json::array();
  for (const double seconds : m.seconds) rounds.push_back(seconds * 1e3);
  return {{"part", m.part},
          {"shape", m.shape},
          {"median_ms", engine::median(m.seconds) * 1e3},
          {"least_ms", *low * 1e3},
          {"most_ms", *high * 1e3},
          {"rounds_ms", rounds},
          {"tflops", tflops(m)},
          {"share_of_product", m.flops > 0 ? Json(tflops(m) / best) : Json(nullptr)},
          {"executed_density", m.executed_density > 0 ? Json(m.executed_density) : Json(nullptr)},
          {"peak_bytes", m.peak_bytes},
          {"zones", zones}};
}

std::string row(const engine::Measurement& m, double best) {
  std::ostringstream text;
  text << std::left << std::setw(10) << m.part << std::right << std::fixed << std::setprecision(3)
       << std::setw(11) << engine::median(m.seconds) * 1e3 << " ms  ";
  if (m.flops > 0)
    text << std::setprecision(1) << std::setw(7) << tflops(m) << " TFLOP/s, "
         << std::setprecision(0) << 100.0 * tflops(m) / best << " %  ";
  text << m.shape << "\n";
  for (const engine::ZoneTime& zone : m.zones)
    text << "    " << std::left << std::setw(20) << zone.zone << std::right << std::setprecision(3)
         << std::setw(11) << zone.seconds * 1e3 << " ms in " << zone.calls << " calls\n";
  return text.str();
}

// The word before the flags: one part, or "all".
std::vector<Part> chosen_parts(const std::string& word) {
  std::vector<std::string> names = {"all"};
  std::vector<Part> parts;
  for (const Part& part : kParts) {
    names.emplace_back(part.name);
    // A whole run is minutes: only where it is asked for.
    const bool is_whole = part.measure == &engine::measure_run;
    const bool is_ceiling = part.measure == &engine::measure_product;
    if ((word == "all" && !is_whole) || word == part.name || is_ceiling) parts.push_back(part);
  }
  PSAGEN_CHECK(std::find(names.begin(), names.end(), word) != names.end(),
               ErrorCode::kInvalidArgument, "unknown benchmark '", word, "'",
               engine::name_suggestion(word, names));
  return parts;
}

Json hardware_of(Context& context) {
  if (context.runtime() == nullptr) return {{"threads", context.num_threads()}};
  const DeviceInfo info = context.runtime()->info();
  return {{"name", info.name},
          {"compute_capability", info.compute_capability},
          {"multiprocessors", info.multiprocessors},
          {"memory_bytes", info.total_bytes},
          {"versions", info.versions}};
}

// `is_complete`: all parts that were asked for are in it.
void write_json(const std::filesystem::path& path, bool overwrite,
                const engine::BenchmarkRequest& request, const std::string& device,
                const Json& hardware, const Json& results, bool is_complete) {
  Json object;
  object["program"] = "psa-gen bench";
  object["version"] = program_version();
  object["commit"] = program_commit();
  object["device"] = device;
  object["hardware"] = hardware;
  object["like"] = request.model.name;
  object["size"] = concat(request.width, "x", request.height);
  object["frames"] = request.num_frames;
  object["attention"] = request.attention.spec;
  object["complete"] = is_complete;
  object["results"] = results;
  engine::PartialFile file(path);
  file.append(object.dump(2));
  file.append("\n");
  file.commit(overwrite);
}

}  // namespace

void run_bench(std::span<const std::string> arguments, Invocation& invocation) {
  const Table<BenchOptions> table = kTable;
  const bool has_word = !arguments.empty() && !arguments[0].starts_with("-");
  const BenchOptions options = parse_flags(table, arguments.subspan(has_word ? 1 : 0));
  if (options.help.value_or(false)) {
    return invocation.console.page(
        "psa-gen bench [all|product|attention|forward|text|decode|run] times the parts of a\n"
        "model; run makes whole videos and is not in all. The shares are of one large matrix\n"
        "product, which is timed first.\n\n"
        "Below each time: where it goes, by the device's own clock.\n" +
        flag_section(field_texts(table)));
  }
  const std::vector<Part> parts = chosen_parts(has_word ? arguments[0] : "all");
  engine::BenchmarkRequest request = request_of(options);
  request.go_on = [&invocation] {
    PSAGEN_CHECK(!invocation.interrupt.requested(), ErrorCode::kCancelled, "interrupted");
  };
  std::optional<DType> dtype;
  if (options.dtype) dtype = engine::parse_compute_dtype(*options.dtype);
  const engine::DeviceChoice device = engine::parse_device(options.device.value_or("auto"));
  if (options.output) engine::check_new_file(*options.output, options.overwrite.value_or(false));
  if (parts.back().measure == &engine::measure_run) engine::check_new_file(request.video, true);

  // Parts that are done are told, and written whatever becomes of those behind them.
  std::exception_ptr failure;
  Json results = Json::array();
  Json hardware;
  std::string device_text;
  double best = 0.0;  // of the first part
  for (const Part& part : parts) {
    try {
      // A context each, so that one part's memory is not the next one's.
      const std::unique_ptr<Context> context =
          engine::open_context(device, dtype, static_cast<int>(options.threads.value_or(0)));
      device_text =
          concat(engine::device_description(*context), ", ", dtype_name(context->compute_dtype()));
      hardware = hardware_of(*context);
      const engine::Measurement measurement = part.measure(*context, request);
      if (results.empty()) {
        best = tflops(measurement);
        invocation.console.page(concat(request.model.name, " on ", device_text, "\n"));
      }
      results.push_back(to_json(measurement, best));
      invocation.console.page(row(measurement, best));
    } catch (...) {
      if (results.empty()) throw;
      failure = std::current_exception();
      break;
    }
  }
  if (options.output)
    write_json(*options.output, options.overwrite.value_or(false), request, device_text, hardware,
               results, !failure);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace psagen::app
