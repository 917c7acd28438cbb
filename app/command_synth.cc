#include "app/command_synth.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "app/help_page.h"
#include "app/option_table.h"
#include "engine/config/nearest_name.h"
#include "engine/media/video_writer.h"
#include "engine/synth/clip_renderer.h"

namespace psagen::app {
namespace {

struct SynthOptions {
  std::optional<std::string> split;
  std::optional<std::int64_t> index;
  std::optional<std::int64_t> count;
  std::optional<std::int64_t> variant;
  std::optional<std::int64_t> size;
  std::optional<std::int64_t> frames;
  std::optional<double> fps;
  std::optional<std::string> output;
  std::optional<std::string> frames_dir;
  std::optional<bool> overwrite;
  std::optional<bool> help;
};

const auto kTable = std::to_array<Field<SynthOptions>>({
    {{.name = "split",
      .value = "NAME",
      .group = "Flags",
      .help = "train, val, test-iid, test-comp, test-pair or real-b (default: train)"},
     &SynthOptions::split},
    {{.name = "index",
      .letter = 'i',
      .value = "N",
      .group = "Flags",
      .help = "which clip of the split (default: 0)",
      .lowest = 0},
     &SynthOptions::index},
    {{.name = "count",
      .value = "N",
      .group = "Flags",
      .help = "captions: how many clips from --index on (default: 1)",
      .lowest = 1},
     &SynthOptions::count},
    {{.name = "variant",
      .value = "N",
      .group = "Flags",
      .help = "captions: 0 is the canonical sentence, others use synonyms (default: 0)",
      .lowest = 0},
     &SynthOptions::variant},
    {{.name = "size",
      .value = "N",
      .group = "Flags",
      .help = "render: pixels in both directions (default: 256)",
      .lowest = 16,
      .highest = 4096},
     &SynthOptions::size},
    {{.name = "frames",
      .value = "N",
      .group = "Flags",
      .help = "render: frames of the clip (default: 33)",
      .lowest = 2,
      .highest = 100000},
     &SynthOptions::frames},
    {{.name = "fps",
      .value = "N",
      .group = "Flags",
      .help = "render: frames a second (default: 16)",
      .lowest = 0.01,
      .highest = 1000},
     &SynthOptions::fps},
    {{.name = "output",
      .letter = 'o',
      .value = "FILE",
      .group = "Flags",
      .help = "render: the .mp4 or .y4m to write"},
     &SynthOptions::output},
    {{.name = "frames-dir",
      .value = "DIR",
      .group = "Flags",
      .help = "render: a folder for the frames as PNG"},
     &SynthOptions::frames_dir},
    {{.name = "overwrite", .group = "Flags", .help = "replace files that exist"},
     &SynthOptions::overwrite},
    {{.name = "help", .letter = 'h', .group = "Flags", .help = "this page"}, &SynthOptions::help},
});

engine::SynthSplit parse_split(const std::string& name) {
  const auto& names = engine::kSynthSplits;
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("--split: no split '", name, "'",
                       engine::name_suggestion(name, {names.begin(), names.end()})));
  }
  return static_cast<engine::SynthSplit>(found - names.begin());
}

void print_captions(const SynthOptions& options, engine::SynthSplit split, Console& console) {
  const std::int64_t first = options.index.value_or(0);
  std::string page;
  for (std::int64_t i = first; i < first + options.count.value_or(1); ++i) {
    page += engine::synth_caption(engine::make_synth_clip(split, i),
                                  static_cast<std::uint64_t>(options.variant.value_or(0))) +
            "\n";
  }
  console.page(page);
}

std::unique_ptr<engine::VideoWriter> open_output(const SynthOptions& options,
                                                 const engine::VideoOptions& video) {
  PSAGEN_CHECK(options.output.has_value() != options.frames_dir.has_value(),
               ErrorCode::kInvalidArgument,
               "synth render needs either --output FILE or --frames-dir DIR");
  const std::filesystem::path path = options.output ? *options.output : *options.frames_dir;
  engine::check_target(path, video);
  if (options.frames_dir) return engine::open_png_folder(path, video);
  return path.extension() == ".y4m" ? engine::open_y4m(path, video) : engine::open_mp4(path, video);
}

void render_clip(const SynthOptions& options, engine::SynthSplit split, Console& console) {
  const std::int64_t index = options.index.value_or(0), size = options.size.value_or(256);
  const engine::SynthClip clip = engine::make_synth_clip(split, index);
  const std::string caption = engine::synth_caption(clip, 0);
  engine::VideoOptions video;
  video.width = video.height = size;
  video.fps = options.fps.value_or(16.0);
  video.num_frames = options.frames.value_or(33);
  video.overwrite = options.overwrite.value_or(false);
  // Captions and split names hold nothing that JSON would have to escape.
  video.comment = concat("{\"moving_shapes\":", engine::kMovingShapesVersion, ",\"split\":\"",
                         engine::kSynthSplits[static_cast<int>(split)], "\",\"index\":", index,
                         ",\"caption\":\"", caption, "\"}");
  const auto writer = open_output(options, video);
  std::vector<std::uint8_t> rgb(static_cast<std::size_t>(size * size * 3));
  for (std::int64_t frame = 0; frame < video.num_frames; ++frame) {
    const engine::SynthWindow window{size, 0, 0, size, size, video.num_frames, frame, 1};
    engine::render_synth_clip(clip, window, rgb, {});
    writer->write({rgb, size, size});
  }
  writer->finish();
  console.page(caption + "\n");
}

}  // namespace

void run_synth(std::span<const std::string> arguments, Invocation& invocation) {
  const std::string action = arguments.empty() ? "--help" : arguments[0];
  if (action == "--help" || action == "-h") {
    const std::vector<FieldText> fields = field_texts(Table<SynthOptions>(kTable));
    return invocation.console.page(
        "psa-gen synth render writes a clip of MovingShapes; psa-gen synth captions prints what\n"
        "clips show, a line each.\n" +
        flag_section(fields));
  }
  if (action != "render" && action != "captions") {
    throw Error(ErrorCode::kInvalidArgument,
                concat("synth: unknown action '", action, "'",
                       engine::name_suggestion(action, {"render", "captions"})));
  }
  const SynthOptions options = parse_flags(Table<SynthOptions>(kTable), arguments.subspan(1));
  if (options.help.value_or(false)) {
    const std::vector<std::string> help = {"--help"};
    return run_synth(help, invocation);
  }
  const engine::SynthSplit split = parse_split(options.split.value_or("train"));
  if (action == "captions") return print_captions(options, split, invocation.console);
  render_clip(options, split, invocation.console);
}

}  // namespace psagen::app
