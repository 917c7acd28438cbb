// What `psa-gen [generate]` can be told.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "app/option_table.h"

namespace psagen::app {

struct GenerateOptions {
  std::optional<std::string> prompt;
  std::optional<std::string> prompt_file;
  std::optional<std::string> negative_prompt;
  std::optional<std::string> model;
  std::optional<FrameSize> size;
  std::optional<std::int64_t> frames;
  std::optional<double> seconds;
  std::optional<double> fps;
  std::optional<std::int64_t> steps;
  std::optional<double> cfg;
  std::optional<double> shift;
  std::optional<std::string> sampler;
  std::optional<std::uint64_t> seed;
  std::optional<std::string> attention;
  std::optional<std::string> device;
  std::optional<std::string> dtype;
  std::optional<std::int64_t> threads;
  std::optional<bool> plan;
  std::optional<double> vram_limit;
  std::optional<std::string> vae_tiling;
  std::optional<bool> no_prompt_cache;
  std::optional<bool> no_tuning_cache;
  std::optional<std::string> output;
  std::optional<std::string> frames_dir;
  std::optional<std::string> report;
  std::optional<bool> overwrite;
  std::optional<std::string> progress;
  std::optional<std::string> config;
  std::optional<std::string> from;
  std::optional<bool> help;
  std::optional<bool> version;
};

Table<GenerateOptions> generate_table();

// The arguments after the command's name. Reads no file and prints nothing. Throws
// Error(kInvalidArgument).
GenerateOptions parse_options(std::span<const std::string> arguments);

}  // namespace psagen::app
