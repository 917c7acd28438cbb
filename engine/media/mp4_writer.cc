// MP4 through FFmpeg's libraries. H.264 comes from libx264 where this FFmpeg has it, else MPEG-4
// Part 2 from FFmpeg's own encoder. x264's output depends on the number of threads, and the same
// frames are to give the same bytes on any machine: always kEncoderThreads, however many processors
// there are. They work while the decoder makes the next frames.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/media/ffmpeg_handles.h"
#include "engine/media/frame_rate.h"
#include "engine/media/partial_file.h"
#include "engine/media/video_reader.h"
#include "engine/media/video_writer.h"
#include "kernels/core/error.h"

namespace psagen::engine {

namespace {

constexpr AVPixelFormat kPixelFormat = AV_PIX_FMT_YUV420P;
// More would limit how far blocks may move between the frames of a small video.
constexpr int kEncoderThreads = 4;
constexpr std::size_t kReadPastEnd = 64;  // one AVX-512 register

const AVCodec* choose_encoder(const std::string& name) {
  const AVCodec* encoder = avcodec_find_encoder_by_name(name.empty() ? "libx264" : name.c_str());
  if (encoder == nullptr && name.empty()) encoder = avcodec_find_encoder_by_name("mpeg4");
  PSAGEN_CHECK(encoder != nullptr, ErrorCode::kUnsupported, "this FFmpeg has no video encoder ",
               name.empty() ? "libx264 or mpeg4" : name);
  return encoder;
}

class Mp4Writer : public VideoWriter {
 public:
  Mp4Writer(const std::filesystem::path& path, const VideoOptions& options)
      : options_(options), file_(path), encoder_(choose_encoder(options.encoder)) {
    silence_ffmpeg();
    open_encoder();
    open_container();
    open_converter();
    rgb_.resize(static_cast<std::size_t>(options.width * options.height * 3) + kReadPastEnd);
  }

  void write(const Frame& frame) override {
    check_frame(frame, options_, num_written_);
    check(av_frame_make_writable(picture_.get()), "convert a frame for");
    // swscale reads a little past the last row, where page-locked memory may end.
    std::copy(frame.rgb.begin(), frame.rgb.end(), rgb_.begin());
    const std::uint8_t* source[] = {rgb_.data()};
    const int stride[] = {static_cast<int>(frame.width) * 3};
    sws_scale(converter_.get(), source, stride, 0, codec_->height, picture_->data,
              picture_->linesize);
    picture_->pts = num_written_++;
    encode(picture_.get());
  }

  void finish() override {
    check_frame_count(options_, num_written_);
    encode(nullptr);
    check(av_write_trailer(container_.get()), "write");
    check(avio_closep(&container_->pb), "write");
    container_.reset();
    verify();
    file_.commit(options_.overwrite);
  }

  std::string note() const override {
    if (encoder_->id == AV_CODEC_ID_H264) return {};
    return concat("this FFmpeg has no libx264; the video is ", encoder_->name, ", not H.264");
  }

 private:
  // FFmpeg's codes carry errno's values for what the operating system refused.
  void check(int code, const char* action) const {
    if (code >= 0) return;
    throw Error(
        code == AVERROR(ENOMEM) ? ErrorCode::kOutOfMemory : ErrorCode::kIo,
        concat("cannot ", action, " ", file_.target().string(), ": ", ffmpeg_error_text(code)));
  }

  void open_encoder() {
    codec_.reset(avcodec_alloc_context3(encoder_));
    check(codec_ ? 0 : AVERROR(ENOMEM), "encode");
    const FrameRate rate = frame_rate(options_.fps);
    codec_->width = static_cast<int>(options_.width);
    codec_->height = static_cast<int>(options_.height);
    codec_->pix_fmt = kPixelFormat;
    codec_->time_base = {rate.denominator, rate.numerator};
    codec_->framerate = {rate.numerator, rate.denominator};
    codec_->sample_aspect_ratio = {1, 1};
    codec_->color_primaries = AVCOL_PRI_BT709;
    codec_->color_trc = AVCOL_TRC_BT709;
    codec_->colorspace = AVCOL_SPC_BT709;
    codec_->color_range = AVCOL_RANGE_MPEG;
    codec_->chroma_sample_location = AVCHROMA_LOC_LEFT;
    codec_->thread_count = encoder_->id == AV_CODEC_ID_H264 ? kEncoderThreads : 1;
    codec_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    AVDictionary* settings = nullptr;
    if (encoder_->id == AV_CODEC_ID_H264) {
      av_dict_set(&settings, "profile", "high", 0);
      av_dict_set(&settings, "preset", "medium", 0);
      av_dict_set_int(&settings, "crf", options_.crf, 0);
      // One choice of algorithms on every processor: x264's AVX-512 macroblock tree also reads
      // memory that it never wrote, so that equal frames did not always give equal bytes.
      av_dict_set(&settings, "x264-params", "cpu-independent=1", 0);
    } else {
      codec_->flags |= AV_CODEC_FLAG_QSCALE;
      codec_->global_quality = 2 * FF_QP2LAMBDA;
    }
    const int opened = avcodec_open2(codec_.get(), encoder_, &settings);
    av_dict_free(&settings);
    check(opened, "open the video encoder for");
  }

  void open_container() {
    AVFormatContext* container = nullptr;
    check(avformat_alloc_output_context2(&container, nullptr, "mp4", file_.path().c_str()), "open");
    container_.reset(container);
    stream_ = avformat_new_stream(container, nullptr);
    check(stream_ != nullptr ? 0 : AVERROR(ENOMEM), "open");
    check(avcodec_parameters_from_context(stream_->codecpar, codec_.get()), "open");
    stream_->time_base = codec_->time_base;
    stream_->avg_frame_rate = codec_->framerate;
    av_dict_set(&container->metadata, "comment", options_.comment.c_str(), 0);
    check(avio_open(&container->pb, file_.path().c_str(), AVIO_FLAG_WRITE), "write");
    AVDictionary* settings = nullptr;
    av_dict_set(&settings, "movflags", "+faststart", 0);
    const int header = avformat_write_header(container, &settings);
    av_dict_free(&settings);
    check(header, "write");
  }

  void open_converter() {
    picture_.reset(av_frame_alloc());
    packet_.reset(av_packet_alloc());
    check(picture_ && packet_ ? 0 : AVERROR(ENOMEM), "convert frames for");
    picture_->format = kPixelFormat;
    picture_->width = codec_->width;
    picture_->height = codec_->height;
    picture_->color_primaries = codec_->color_primaries;
    picture_->color_trc = codec_->color_trc;
    picture_->colorspace = codec_->colorspace;
    picture_->color_range = codec_->color_range;
    check(av_frame_get_buffer(picture_.get(), 0), "convert frames for");
    converter_.reset(sws_getContext(
        codec_->width, codec_->height, AV_PIX_FMT_RGB24, codec_->width, codec_->height,
        kPixelFormat, SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_BITEXACT, nullptr,
        nullptr, nullptr));
    check(converter_ ? 0 : AVERROR(ENOMEM), "convert frames for");
    const int* bt709 = sws_getCoefficients(SWS_CS_ITU709);
    // Full-range RGB in, limited-range YCbCr out; brightness, contrast and saturation untouched.
    check(sws_setColorspaceDetails(converter_.get(), bt709, 1, bt709, 0, 0, 1 << 16, 1 << 16),
          "convert frames for");
  }

  // Hands over one picture (nullptr: there are no more) and writes what the encoder gives back.
  void encode(const AVFrame* picture) {
    check(avcodec_send_frame(codec_.get(), picture), "encode");
    for (;;) {
      const int received = avcodec_receive_packet(codec_.get(), packet_.get());
      if (received == AVERROR(EAGAIN) || received == AVERROR_EOF) return;
      check(received, "encode");
      packet_->duration = 1;
      packet_->stream_index = stream_->index;
      av_packet_rescale_ts(packet_.get(), codec_->time_base, stream_->time_base);
      check(av_interleaved_write_frame(container_.get(), packet_.get()), "write");
    }
  }

  void verify() const {
    const VideoInfo info = probe_video(file_.path());
    const double fps = frame_rate(options_.fps).value();
    PSAGEN_CHECK(info.num_frames == options_.num_frames && info.width == options_.width &&
                     info.height == options_.height && std::abs(info.fps - fps) < 1e-6 * fps &&
                     info.comment == options_.comment,
                 ErrorCode::kIo, "cannot write ", file_.target().string(), ": it reads back as ",
                 info.num_frames, " frames of ", info.width, "x", info.height, " at ", info.fps,
                 " fps, wanted ", options_.num_frames, " of ", options_.width, "x", options_.height,
                 " at ", fps, ", with its comment");
  }

  VideoOptions options_;
  PartialFile file_;  // outlives the container, which holds it open
  const AVCodec* encoder_;
  FfmpegPtr<AVCodecContext> codec_;
  OutputFormatPtr container_;
  AVStream* stream_ = nullptr;  // the container's
  FfmpegPtr<AVFrame> picture_;
  std::vector<std::uint8_t> rgb_;  // the frame, and room behind it
  FfmpegPtr<AVPacket> packet_;
  FfmpegPtr<SwsContext> converter_;
  std::int64_t num_written_ = 0;
};

}  // namespace

std::unique_ptr<VideoWriter> open_mp4(const std::filesystem::path& path,
                                      const VideoOptions& options) {
  check_target(path, options);
  return std::make_unique<Mp4Writer>(path, options);
}

}  // namespace psagen::engine
