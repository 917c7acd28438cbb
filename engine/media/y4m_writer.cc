// YUV4MPEG2 (the format of mjpegtools, man page yuv4mpeg(5)), 4:4:4 at 10 bits: sample values in
// 16-bit little-endian words, three planes a frame.
#include <string>

#include "engine/media/frame_rate.h"
#include "engine/media/partial_file.h"
#include "engine/media/video_writer.h"
#include "engine/media/ycbcr.h"
#include "kernels/core/error.h"

namespace psagen::engine {

namespace {

class Y4mWriter : public VideoWriter {
 public:
  Y4mWriter(const std::filesystem::path& path, const VideoOptions& options)
      : options_(options), file_(path), comment_(y4m_comment_path(path)) {
    const FrameRate rate = frame_rate(options.fps);
    // XYSCSS and XCOLORRANGE are the tokens FFmpeg, mpv and x264 understand.
    header_ = concat("YUV4MPEG2 W", options.width, " H", options.height, " F", rate.numerator, ":",
                     rate.denominator, " Ip A1:1 C444p10 XYSCSS=444P10 XCOLORRANGE=LIMITED\n");
    file_.append(header_);
    planes_.resize(static_cast<std::size_t>(options.width * options.height) * 6);
  }

  void write(const Frame& frame) override {
    check_frame(frame, options_, num_written_);
    const std::size_t pixels = frame.rgb.size() / 3;
    for (std::size_t i = 0; i < pixels; ++i) {
      const Ycbcr10 colour =
          ycbcr_from_rgb({frame.rgb[3 * i], frame.rgb[3 * i + 1], frame.rgb[3 * i + 2]});
      store(i, colour.y);
      store(pixels + i, colour.cb);
      store(2 * pixels + i, colour.cr);
    }
    file_.append(kFrameHeader);
    file_.append(planes_);
    ++num_written_;
  }

  void finish() override {
    check_frame_count(options_, num_written_);
    file_.close();
    const std::uintmax_t wanted = header_.size() + static_cast<std::uintmax_t>(num_written_) *
                                                       (kFrameHeader.size() + planes_.size());
    const std::uintmax_t found = std::filesystem::file_size(file_.path());
    PSAGEN_CHECK(found == wanted, ErrorCode::kIo, "cannot write ", file_.target().string(), ": ",
                 found, " bytes are there, wanted ", wanted);
    if (!options_.comment.empty()) {
      comment_.append(options_.comment);
      comment_.append("\n");
      comment_.commit(options_.overwrite);
    }
    file_.commit(options_.overwrite);
  }

 private:
  static constexpr std::string_view kFrameHeader = "FRAME\n";

  void store(std::size_t sample, std::uint16_t value) {
    planes_[2 * sample] = static_cast<char>(value & 0xFF);
    planes_[2 * sample + 1] = static_cast<char>(value >> 8);
  }

  VideoOptions options_;
  PartialFile file_;
  PartialFile comment_;
  std::string header_;
  std::string planes_;
  std::int64_t num_written_ = 0;
};

}  // namespace

std::filesystem::path y4m_comment_path(const std::filesystem::path& path) {
  return path.string() + ".json";
}

std::unique_ptr<VideoWriter> open_y4m(const std::filesystem::path& path,
                                      const VideoOptions& options) {
  check_target(path, options);
  return std::make_unique<Y4mWriter>(path, options);
}

}  // namespace psagen::engine
