// FFmpeg's C objects with owners, and its error codes as text. For the sources of engine/media
// only.
#pragma once

#include <memory>
#include <string>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/log.h>
#include <libswscale/swscale.h>
}

namespace psagen::engine {

struct FfmpegDeleter {
  void operator()(AVCodecContext* object) const { avcodec_free_context(&object); }
  void operator()(AVFrame* object) const { av_frame_free(&object); }
  void operator()(AVPacket* object) const { av_packet_free(&object); }
  void operator()(SwsContext* object) const { sws_freeContext(object); }
};

struct OutputFormatDeleter {
  void operator()(AVFormatContext* object) const {
    if (object->pb != nullptr) avio_closep(&object->pb);
    avformat_free_context(object);
  }
};

struct InputFormatDeleter {
  void operator()(AVFormatContext* object) const { avformat_close_input(&object); }
};

template <typename T>
using FfmpegPtr = std::unique_ptr<T, FfmpegDeleter>;
using OutputFormatPtr = std::unique_ptr<AVFormatContext, OutputFormatDeleter>;
using InputFormatPtr = std::unique_ptr<AVFormatContext, InputFormatDeleter>;

inline std::string ffmpeg_error_text(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  return text;
}

// FFmpeg and x264 would print to stderr, which belongs to the program's console.
inline void silence_ffmpeg() { av_log_set_level(AV_LOG_QUIET); }

}  // namespace psagen::engine
