#include "app/output_files.h"

#include <chrono>

#include "kernels/core/error.h"

namespace psagen::app {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kLongestSlug = 48;

bool is_continuation_byte(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Lower-case letters, digits and whatever is beyond ASCII; one dash for the rest.
std::string slug(const std::string& prompt) {
  std::string result;
  for (const char c : prompt) {
    const bool is_ascii = static_cast<unsigned char>(c) < 0x80;
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool is_kept = !is_ascii || (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9');
    // A character is kept whole or not at all.
    if (result.size() >= kLongestSlug && !is_continuation_byte(c)) break;
    if (is_kept) {
      result += lower;
    } else if (!result.empty() && result.back() != '-') {
      result += '-';
    }
  }
  while (!result.empty() && result.back() == '-') result.pop_back();
  return result.empty() ? "video" : result;
}

class AddSeconds {
 public:
  explicit AddSeconds(double& total) : total_(total), start_(Clock::now()) {}
  ~AddSeconds() { total_ += std::chrono::duration<double>(Clock::now() - start_).count(); }
  AddSeconds(const AddSeconds&) = delete;
  AddSeconds& operator=(const AddSeconds&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  double& total_;
  Clock::time_point start_;
};

}  // namespace

fs::path default_output(const fs::path& folder, const std::string& prompt, std::uint64_t seed) {
  const std::string stem = concat(slug(prompt), "-seed", seed);
  fs::path path = folder / (stem + ".mp4");
  std::error_code error;
  for (int copy = 2; fs::exists(path, error); ++copy)
    path = folder / concat(stem, "-", copy, ".mp4");
  return path;
}

OutputFiles::OutputFiles(const GenerateOptions& options, const engine::VideoOptions& video,
                         const std::string& prompt, std::uint64_t seed)
    : video_options_(video) {
  std::error_code error;
  if (options.output && fs::is_directory(*options.output, error)) {
    video_path_ = default_output(*options.output, prompt, seed);
  } else if (options.output) {
    video_path_ = *options.output;
  } else if (!options.frames_dir) {
    video_path_ = default_output("", prompt, seed);
  }
  if (options.frames_dir) frames_path_ = *options.frames_dir;
  if (video_path_) engine::check_target(*video_path_, video);
  if (frames_path_) engine::check_frames_directory(*frames_path_, video);
}

void OutputFiles::write(const engine::Frame& frame) {
  const AddSeconds timer(seconds_);
  if (writers_.empty()) {
    if (video_path_) writers_.push_back(engine::open_video(*video_path_, video_options_));
    if (frames_path_) writers_.push_back(engine::open_png_folder(*frames_path_, video_options_));
  }
  for (const auto& writer : writers_) writer->write(frame);
}

void OutputFiles::finish() {
  const AddSeconds timer(seconds_);
  // The video first: of the two it is the one whose last step can still fail.
  for (const auto& writer : writers_) writer->finish();
}

std::vector<fs::path> OutputFiles::paths() const {
  std::vector<fs::path> paths;
  if (video_path_) paths.push_back(*video_path_);
  if (frames_path_) paths.push_back(*frames_path_);
  return paths;
}

std::string OutputFiles::note() const {
  std::string text;
  for (const auto& writer : writers_) text += writer->note();
  return text;
}

}  // namespace psagen::app
