#include "engine/media/video_reader.h"

#include <cerrno>
#include <string>

#include "engine/media/ffmpeg_handles.h"
#include "engine/media/ycbcr.h"
#include "kernels/core/error.h"

namespace psagen::engine {

namespace fs = std::filesystem;

namespace {

void check(int code, const fs::path& path) {
  if (code >= 0) return;
  ErrorCode error = ErrorCode::kInvalidArgument;
  if (code == AVERROR(ENOENT)) error = ErrorCode::kNotFound;
  if (code == AVERROR(EACCES) || code == AVERROR(EIO) || code == AVERROR(EISDIR)) {
    error = ErrorCode::kIo;
  }
  if (code == AVERROR(ENOMEM)) error = ErrorCode::kOutOfMemory;
  throw Error(error, concat("cannot read video ", path.string(), ": ", ffmpeg_error_text(code)));
}

struct Input {
  InputFormatPtr container;
  AVStream* stream = nullptr;  // the first video stream
};

Input open_input(const fs::path& path) {
  silence_ffmpeg();
  AVFormatContext* container = nullptr;
  // The protocol is said, so that a name such as `http:x.mp4` stays a file's name.
  check(avformat_open_input(&container, ("file:" + path.string()).c_str(), nullptr, nullptr), path);
  Input input{InputFormatPtr(container), nullptr};
  check(avformat_find_stream_info(container, nullptr), path);
  const int index = av_find_best_stream(container, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  PSAGEN_CHECK(index >= 0, ErrorCode::kInvalidArgument, "cannot read video ", path.string(),
               ": it holds no video");
  input.stream = container->streams[index];
  return input;
}

// Calls visit(packet) for every packet of the video stream.
template <typename Visit>
void for_each_packet(const Input& input, const fs::path& path, Visit visit) {
  const FfmpegPtr<AVPacket> packet(av_packet_alloc());
  check(packet ? 0 : AVERROR(ENOMEM), path);
  for (;;) {
    const int read = av_read_frame(input.container.get(), packet.get());
    if (read == AVERROR_EOF) return;
    check(read, path);
    if (packet->stream_index == input.stream->index) visit(packet.get());
    av_packet_unref(packet.get());
  }
}

std::vector<std::uint8_t> exact_rgb(const AVFrame& picture) {
  std::vector<std::uint8_t> rgb;
  rgb.reserve(static_cast<std::size_t>(picture.width) * picture.height * 3);
  for (int row = 0; row < picture.height; ++row) {
    const std::uint16_t* planes[3];
    for (int plane = 0; plane < 3; ++plane) {
      planes[plane] = reinterpret_cast<const std::uint16_t*>(
          picture.data[plane] + std::ptrdiff_t{row} * picture.linesize[plane]);
    }
    for (int x = 0; x < picture.width; ++x) {
      const Rgb8 colour = rgb_from_ycbcr({planes[0][x], planes[1][x], planes[2][x]});
      rgb.insert(rgb.end(), {colour.r, colour.g, colour.b});
    }
  }
  return rgb;
}

std::vector<std::uint8_t> scaled_rgb(const AVFrame& picture, const fs::path& path) {
  const int width = picture.width;
  const int height = picture.height;
  const auto format = static_cast<AVPixelFormat>(picture.format);
  const FfmpegPtr<SwsContext> converter(
      sws_getContext(width, height, format, width, height, AV_PIX_FMT_RGB24,
                     SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_BITEXACT, nullptr,
                     nullptr, nullptr));
  check(converter ? 0 : AVERROR(EINVAL), path);
  const int* bt709 = sws_getCoefficients(SWS_CS_ITU709);
  sws_setColorspaceDetails(converter.get(), bt709, picture.color_range == AVCOL_RANGE_JPEG, bt709,
                           1, 0, 1 << 16, 1 << 16);
  // swscale may write a little past a row that is no multiple of its vector width.
  std::vector<std::uint8_t> rgb(static_cast<std::size_t>(width) * height * 3 + 64);
  std::uint8_t* target[] = {rgb.data()};
  const int stride[] = {3 * width};
  sws_scale(converter.get(), picture.data, picture.linesize, 0, height, target, stride);
  rgb.resize(static_cast<std::size_t>(width) * height * 3);
  return rgb;
}

// Our own y4m files are read by the exact inverse of what wrote them.
std::vector<std::uint8_t> to_rgb(const AVFrame& picture, const fs::path& path) {
  const bool exact =
      picture.format == AV_PIX_FMT_YUV444P10LE && picture.color_range != AVCOL_RANGE_JPEG;
  return exact ? exact_rgb(picture) : scaled_rgb(picture, path);
}

}  // namespace

VideoInfo probe_video(const fs::path& path) {
  const Input input = open_input(path);
  VideoInfo info;
  info.width = input.stream->codecpar->width;
  info.height = input.stream->codecpar->height;
  const AVRational rate = input.stream->avg_frame_rate;
  info.fps = rate.den != 0 ? av_q2d(rate) : 0.0;
  const AVDictionaryEntry* comment = av_dict_get(input.container->metadata, "comment", nullptr, 0);
  if (comment != nullptr) info.comment = comment->value;
  for_each_packet(input, path, [&](const AVPacket*) { ++info.num_frames; });
  PSAGEN_CHECK(info.num_frames > 0, ErrorCode::kInvalidArgument, "cannot read video ",
               path.string(), ": it holds no frames");
  return info;
}

std::vector<std::vector<std::uint8_t>> read_video(const fs::path& path) {
  const Input input = open_input(path);
  const AVCodec* decoder = avcodec_find_decoder(input.stream->codecpar->codec_id);
  PSAGEN_CHECK(decoder != nullptr, ErrorCode::kUnsupported, "cannot read video ", path.string(),
               ": this FFmpeg has no decoder for it");
  const FfmpegPtr<AVCodecContext> codec(avcodec_alloc_context3(decoder));
  const FfmpegPtr<AVFrame> picture(av_frame_alloc());
  check(codec && picture ? 0 : AVERROR(ENOMEM), path);
  check(avcodec_parameters_to_context(codec.get(), input.stream->codecpar), path);
  check(avcodec_open2(codec.get(), decoder, nullptr), path);
  std::vector<std::vector<std::uint8_t>> frames;
  const auto decode = [&](const AVPacket* packet) {
    check(avcodec_send_packet(codec.get(), packet), path);
    for (;;) {
      const int received = avcodec_receive_frame(codec.get(), picture.get());
      if (received == AVERROR(EAGAIN) || received == AVERROR_EOF) return;
      check(received, path);
      frames.push_back(to_rgb(*picture, path));
      av_frame_unref(picture.get());
    }
  };
  for_each_packet(input, path, decode);
  decode(nullptr);
  return frames;
}

}  // namespace psagen::engine
