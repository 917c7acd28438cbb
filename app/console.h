// The only code that prints. Results go to standard output; progress, warnings and errors to
// standard error. As JSON, everything but errors goes to standard output, one object a line.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/pipeline/progress.h"
#include "engine/pipeline/text_to_video.h"

namespace psagen::app {

enum class ProgressStyle { kBar, kLines, kJson, kNone };

// `auto` (a bar where standard error is a terminal, else lines), `lines`, `json`, `none`. Throws
// Error(kInvalidArgument) for another name.
ProgressStyle parse_progress(const std::string& name);

struct RunSummary {
  std::vector<std::filesystem::path> outputs;
  std::uint64_t seed = 0;
  std::vector<engine::StageReport> stages;
  double seconds = 0.0;
};

class Console {
 public:
  Console(std::FILE* out, std::FILE* err) : out_(out), err_(err) {}

  void set_style(ProgressStyle style) { style_ = style; }

  void page(const std::string& text);  // help, version, info
  void note(const std::string& text);  // what is about to happen
  void warning(const std::string& text);
  void error(const std::string& text);  // one line, always on standard error
  void progress(const engine::Progress& progress);
  void finished(const RunSummary& summary);

 private:
  void json_line(const std::string& text);
  void draw_bar(const engine::Progress& progress);
  void print_line(const engine::Progress& progress);
  void end_bar();

  std::FILE* out_;
  std::FILE* err_;
  ProgressStyle style_ = ProgressStyle::kLines;
  bool bar_is_open_ = false;  // the cursor stands behind an unfinished bar
  double last_shown_ = 0.0;   // seconds into the stage
};

// "12.3 s", "2:05 min", "1:02:05 h".
std::string duration_text(double seconds);

}  // namespace psagen::app
