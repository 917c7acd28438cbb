#include "app/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/config/nearest_name.h"
#include "kernels/core/error.h"

namespace psagen::app {

namespace {

using Json = nlohmann::ordered_json;

constexpr double kSecondsBetweenBars = 0.1;
constexpr double kSecondsBetweenLines = 5.0;

std::string dumped(const Json& event) {
  return event.dump(-1, ' ', false, Json::error_handler_t::replace);
}

double seconds_left(const engine::Progress& progress) {
  if (progress.done <= 0) return 0.0;
  return progress.seconds * static_cast<double>(progress.total - progress.done) /
         static_cast<double>(progress.done);
}

bool is_at_end(const engine::Progress& progress) { return progress.done >= progress.total; }

std::string decimal(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.resize(width, ' ');
  return text;
}

std::string progress_text(const engine::Progress& progress) {
  std::string text = concat(progress.done, "/", progress.total);
  if (progress.done > 0) text += concat(", ", duration_text(progress.seconds));
  if (progress.done > 0 && !is_at_end(progress)) {
    text += concat(", about ", duration_text(seconds_left(progress)), " left");
  }
  return text;
}

std::size_t terminal_columns(std::FILE* file) {
  winsize size{};
  if (::ioctl(::fileno(file), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

ProgressStyle parse_progress(const std::string& name) {
  if (name == "auto")
    return ::isatty(STDERR_FILENO) != 0 ? ProgressStyle::kBar : ProgressStyle::kLines;
  if (name == "lines") return ProgressStyle::kLines;
  if (name == "json") return ProgressStyle::kJson;
  PSAGEN_CHECK(name == "none", ErrorCode::kInvalidArgument, "unknown kind of progress '", name, "'",
               engine::name_suggestion(name, {"auto", "lines", "json", "none"}));
  return ProgressStyle::kNone;
}

namespace {

// " (8.1 GB/s)" where something was loaded.
std::string rate_text(const engine::StageReport& stage) {
  if (stage.loaded_bytes == 0 || stage.seconds <= 0) return {};
  return concat(" (", decimal(static_cast<double>(stage.loaded_bytes) / 1e9 / stage.seconds, 1),
                " GB/s)");
}

}  // namespace

std::string duration_text(double seconds) {
  if (seconds < 59.95) return decimal(seconds, 1) + " s";
  const auto whole = static_cast<std::int64_t>(std::lround(seconds));
  std::array<char, 64> text{};
  if (whole < 3600) {
    std::snprintf(text.data(), text.size(), "%d:%02d min", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(text.data(), text.size(), "%d:%02d:%02d h", static_cast<int>(whole / 3600),
                  static_cast<int>(whole / 60 % 60), static_cast<int>(whole % 60));
  }
  return text.data();
}

void Console::json_line(const std::string& text) {
  std::fprintf(out_, "%s\n", text.c_str());
  std::fflush(out_);
}

void Console::page(const std::string& text) {
  std::fputs(text.c_str(), out_);
  std::fflush(out_);
}

void Console::note(const std::string& text) {
  if (style_ == ProgressStyle::kNone) return;
  if (style_ == ProgressStyle::kJson) return json_line(dumped({{"event", "note"}, {"text", text}}));
  end_bar();
  std::fprintf(err_, "%s\n", text.c_str());
}

void Console::warning(const std::string& text) {
  if (style_ == ProgressStyle::kJson) {
    return json_line(dumped({{"event", "warning"}, {"text", text}}));
  }
  end_bar();
  std::fprintf(err_, "psa-gen: warning: %s\n", text.c_str());
}

void Console::error(const std::string& text) {
  end_bar();
  std::string line = text;
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::fprintf(err_, "psa-gen: error: %s\n", line.c_str());
}

void Console::progress(const engine::Progress& progress) {
  switch (style_) {
    case ProgressStyle::kBar:
      return draw_bar(progress);
    case ProgressStyle::kLines:
      return print_line(progress);
    case ProgressStyle::kJson:
      return json_line(dumped({{"event", "progress"},
                               {"stage", engine::stage_name(progress.stage)},
                               {"done", progress.done},
                               {"total", progress.total},
                               {"seconds", progress.seconds},
                               {"seconds_left", seconds_left(progress)}}));
    case ProgressStyle::kNone:
      return;
  }
}

void Console::draw_bar(const engine::Progress& progress) {
  const bool is_edge = progress.done == 0 || is_at_end(progress);
  if (!is_edge && progress.seconds - last_shown_ < kSecondsBetweenBars) return;
  last_shown_ = progress.seconds;
  const std::string text = progress_text(progress);
  const std::size_t columns = terminal_columns(err_);
  std::string line = padded(engine::stage_name(progress.stage), 12);
  const std::size_t taken = line.size() + 3 + text.size() + 1;
  if (columns > taken + 10) {
    const std::size_t width = std::min<std::size_t>(columns - taken, 40);
    const auto share = static_cast<double>(progress.done) /
                       static_cast<double>(std::max<std::int64_t>(progress.total, 1));
    const auto full = static_cast<std::size_t>(static_cast<double>(width) * std::min(share, 1.0));
    line += concat("[", std::string(full, '#'), std::string(width - full, '.'), "] ");
  }
  // Back to the first column, the line, and away with what a longer one left behind.
  std::fprintf(err_, "\r%s\x1b[K", (line + text).c_str());
  bar_is_open_ = true;
  if (is_at_end(progress)) end_bar();
  std::fflush(err_);
}

void Console::print_line(const engine::Progress& progress) {
  const bool is_due = is_at_end(progress) || progress.seconds - last_shown_ >= kSecondsBetweenLines;
  if (progress.done == 0) last_shown_ = 0.0;
  if (!is_due) return;
  last_shown_ = progress.seconds;
  std::fprintf(err_, "%s: %s\n", engine::stage_name(progress.stage),
               progress_text(progress).c_str());
}

void Console::end_bar() {
  if (bar_is_open_) std::fputs("\n", err_);
  bar_is_open_ = false;
}

void Console::finished(const RunSummary& summary) {
  if (style_ == ProgressStyle::kJson) {
    Json event = {{"event", "finished"}, {"outputs", Json::array()}, {"seed", summary.seed}};
    for (const auto& path : summary.outputs) event["outputs"].push_back(path.string());
    for (const engine::StageReport& stage : summary.stages) {
      event["stages"].push_back({{"stage", engine::stage_name(stage.stage)},
                                 {"seconds", stage.seconds},
                                 {"peak_bytes", stage.peak_bytes}});
    }
    event["seconds"] = summary.seconds;
    return json_line(dumped(event));
  }
  end_bar();
  std::string times;
  for (const engine::StageReport& stage : summary.stages) {
    times += concat(engine::stage_name(stage.stage), " ", duration_text(stage.seconds),
                    rate_text(stage), ", ");
  }
  for (const auto& path : summary.outputs) std::fprintf(out_, "video: %s\n", path.c_str());
  std::fprintf(out_, "seed:  %llu\n", static_cast<unsigned long long>(summary.seed));
  std::fprintf(out_, "time:  %stotal %s\n", times.c_str(), duration_text(summary.seconds).c_str());
  std::fflush(out_);
}

}  // namespace psagen::app
