#include "app/inspect_options.h"

namespace psagen::app {

namespace {

using O = InspectOptions;

constexpr std::string_view kLook = "What is looked at";
constexpr std::string_view kWhere = "Where it goes";

Field<O> shared_field(std::string_view name) {
  for (const Field<GenerateOptions>& field : generate_table())
    if (field.text.name == name)
      return {field.text, std::visit([](auto member) { return Member<O>(member); }, field.member)};
  throw Error(ErrorCode::kInternal, concat("generate has no flag --", name));
}

// At the commas outside braces: what is inside them is one setting's own.
std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts = {""};
  int depth = 0;
  for (const char c : text) {
    depth += (c == '{' ? 1 : 0) - (c == '}' ? 1 : 0);
    if (c == ',' && depth == 0)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

FieldText bounded(std::int64_t count) {
  return {.lowest = 0.0, .highest = static_cast<double>(count - 1)};
}

// "0,5,10" or "all" of [0, count).
std::set<std::int64_t> numbers_of(const std::string& flag, const std::string& text,
                                  std::int64_t count) {
  std::set<std::int64_t> numbers;
  if (text == "all") {
    for (std::int64_t i = 0; i < count; ++i) numbers.insert(numbers.end(), i);
    return numbers;
  }
  for (const std::string& part : split(text)) {
    std::int64_t number = 0;
    parse_value(flag, bounded(count), part, number);
    numbers.insert(number);
  }
  return numbers;
}

std::int64_t checked(const std::string& flag, std::int64_t value, std::int64_t count) {
  PSAGEN_CHECK(value >= 0 && value < count, ErrorCode::kInvalidArgument, flag, " is ", value,
               ", wanted 0 to ", count - 1);
  return value;
}

}  // namespace

std::vector<Field<O>> inspect_table() {
  std::vector<Field<O>> table = {
      {{.name = "attention",
        .value = "LIST",
        .group = kLook,
        .help = "the sparse attentions that are tried, with commas: psa:fast,block-sparse "
                "(default: psa)"},
       &O::tried},
      {{.name = "along",
        .value = "KIND",
        .group = kLook,
        .help = "the attention that the run itself uses, and that queries, keys and values "
                "therefore come from (default: dense)"},
       &O::attention},
      {{.name = "step",
        .value = "N",
        .group = kLook,
        .help = "with --layer and --head: the head that is looked at closely; counted from 0",
        .lowest = 0},
       &O::step},
      {{.name = "layer", .value = "N", .group = kLook, .help = "likewise", .lowest = 0}, &O::layer},
      {{.name = "head", .value = "N", .group = kLook, .help = "likewise", .lowest = 0}, &O::head},
      {{.name = "steps-at",
        .value = "LIST",
        .group = kLook,
        .help = "steps, with commas, or all: the error of every attention of --attention there, "
                "and its mean"},
       &O::steps_at},
      {{.name = "layers",
        .value = "LIST",
        .group = kLook,
        .help = "the layers of --steps-at (default: all)"},
       &O::layers},
      {{.name = "forward",
        .value = "N",
        .group = kLook,
        .help = "0: with the prompt, 1: with the negative one (default: 0)",
        .lowest = 0,
        .highest = 1},
       &O::forward},
      {{.name = "output",
        .letter = 'o',
        .value = "FILE",
        .group = kWhere,
        .help = "the head's picture, a PNG: query blocks down, key blocks across; on the left "
                "their levels, on the right the attention mass they hold"},
       &O::output},
      {{.name = "json", .value = "FILE", .group = kWhere, .help = "every number, as JSON"},
       &O::json},
  };
  for (const char* name : {"overwrite", "prompt", "prompt-file", "negative-prompt", "model", "size",
                           "frames", "seconds", "steps", "cfg", "shift", "sampler", "seed",
                           "device", "dtype", "no-prompt-cache", "threads", "progress", "help"})
    table.push_back(shared_field(name));
  return table;
}

InspectOptions parse_inspect_options(std::span<const std::string> arguments) {
  const std::vector<Field<O>> fields = inspect_table();
  const Table<O> table = fields;
  InspectOptions options = parse_flags(table, arguments);
  if (options.help.value_or(false)) return options;
  const bool has_head = options.step && options.layer && options.head;
  PSAGEN_CHECK(has_head || (!options.step && !options.layer && !options.head),
               ErrorCode::kInvalidArgument,
               "one head needs --step, --layer and --head, of which only some are given");
  PSAGEN_CHECK(has_head || options.steps_at, ErrorCode::kInvalidArgument,
               "there is nothing to look at; give --step, --layer and --head, or --steps-at");
  PSAGEN_CHECK(has_head || !options.output, ErrorCode::kInvalidArgument,
               "--output is a picture of one head; it needs --step, --layer and --head");
  PSAGEN_CHECK(options.steps_at || !options.layers, ErrorCode::kInvalidArgument,
               "--layers are the layers of --steps-at, which is not given");
  return options;
}

std::vector<engine::AttentionConfig> tried_attentions(const InspectOptions& options) {
  std::vector<engine::AttentionConfig> tried;
  for (const std::string& spec : split(options.tried.value_or("psa")))
    tried.push_back(engine::parse_attention(spec));
  PSAGEN_CHECK(!options.output || tried.size() == 1, ErrorCode::kInvalidArgument,
               "--output is a picture of one attention, --attention names ", tried.size());
  return tried;
}

engine::InspectedPlaces resolve_places(const InspectOptions& options, const InspectBounds& bounds) {
  engine::InspectedPlaces places;
  places.forward = options.forward.value_or(0);
  PSAGEN_CHECK(places.forward == 0 || bounds.has_negative, ErrorCode::kInvalidArgument,
               "--forward is 1, but with a --cfg of at most 1 there is only forward 0");
  if (options.head)
    places.head = {.step = checked("--step", *options.step, bounds.num_steps),
                   .layer = checked("--layer", *options.layer, bounds.num_layers),
                   .head = checked("--head", *options.head, bounds.num_heads)};
  if (options.steps_at) {
    places.steps = numbers_of("--steps-at", *options.steps_at, bounds.num_steps);
    places.layers = numbers_of("--layers", options.layers.value_or("all"), bounds.num_layers);
  }
  return places;
}

}  // namespace psagen::app
