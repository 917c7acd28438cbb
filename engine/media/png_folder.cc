// Every frame as a PNG still, in a folder that appears when it is whole.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "engine/media/frame_rate.h"
#include "engine/media/partial_file.h"
#include "engine/media/png_file.h"
#include "engine/media/video_writer.h"
#include "kernels/core/error.h"

namespace psagen::engine {

namespace fs = std::filesystem;

namespace {

constexpr const char* kSettingsName = "settings.json";

std::string frame_name(std::int64_t index) {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "frame_%05lld.png", static_cast<long long>(index));
  return name.data();
}

bool is_frame_name(const std::string& name) {
  return name.size() >= 15 && name.starts_with("frame_") && name.ends_with(".png") &&
         name.find_first_not_of("0123456789", 6) == name.size() - 4;
}

class PngFolder : public VideoWriter {
 public:
  PngFolder(const fs::path& directory, const VideoOptions& options)
      : options_(options), target_(directory), partial_(partial_path(directory)) {
    std::error_code error;
    fs::create_directory(partial_, error);
    if (error) throw_write_error(target_, error.value());
  }

  ~PngFolder() override {
    std::error_code error;
    fs::remove_all(partial_, error);
  }

  void write(const Frame& frame) override {
    check_frame(frame, options_, num_written_);
    write_bytes(partial_ / frame_name(num_written_), encode_png(frame), target_);
    ++num_written_;
  }

  void finish() override {
    check_frame_count(options_, num_written_);
    if (!options_.comment.empty()) {
      const std::string text = options_.comment + "\n";
      write_bytes(partial_ / kSettingsName,
                  {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, target_);
    }
    std::error_code error;
    if (options_.overwrite && fs::is_directory(target_) && !fs::is_empty(target_, error)) {
      replace_frames();
    } else {
      move(partial_, target_);
    }
  }

 private:
  void move(const fs::path& from, const fs::path& to) const {
    std::error_code error;
    fs::rename(from, to, error);
    if (error) throw_write_error(target_, error.value());
  }

  // A folder of the user's is never deleted: only our own files in it make way.
  void replace_frames() const {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(target_, error)) {
      if (is_frame_name(entry.path().filename().string())) fs::remove(entry.path(), error);
      if (error) throw_write_error(target_, error.value());
    }
    for (const fs::directory_entry& entry : fs::directory_iterator(partial_, error)) {
      move(entry.path(), target_ / entry.path().filename());
    }
  }

  VideoOptions options_;
  fs::path target_;
  fs::path partial_;
  std::int64_t num_written_ = 0;
};

}  // namespace

std::unique_ptr<VideoWriter> open_png_folder(const fs::path& directory,
                                             const VideoOptions& options) {
  check_frames_directory(directory, options);
  return std::make_unique<PngFolder>(directory, options);
}

}  // namespace psagen::engine
