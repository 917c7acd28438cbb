#include "tests/bench/pipeline/clip_stream.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "kernels/core/error.h"

namespace psagen {

using Json = nlohmann::ordered_json;

void RecordedClip::add(const engine::Frame& frame) {
  rgb.insert(rgb.end(), frame.rgb.begin(), frame.rgb.end());
  ++num_frames;
  height = frame.height;
  width = frame.width;
}

ClipStream::ClipStream(const std::filesystem::path& path)
    : owned_(path.empty() ? nullptr : std::fopen(path.c_str(), "wb"), &std::fclose),
      file_(path.empty() ? stdout : owned_.get()) {
  PSAGEN_CHECK(file_ != nullptr, ErrorCode::kIo, "cannot write ", path.string(), ": ",
               std::strerror(errno));
}

void ClipStream::write(std::int64_t prompt, std::int64_t attention, double seconds,
                       const RecordedClip& clip) {
  const Json header = {{"clip",
                        {{"prompt", prompt},
                         {"attention", attention},
                         {"frames", clip.num_frames},
                         {"height", clip.height},
                         {"width", clip.width},
                         {"seconds", seconds}}}};
  put_line(header.dump());
  put(clip.rgb.data(), clip.rgb.size());
}

void ClipStream::write(std::int64_t prompt, double seconds,
                       const std::vector<engine::InspectedAttention>& results) {
  Json attentions = Json::array();
  for (const engine::InspectedAttention& result : results) {
    const engine::PlaceResult mean = engine::mean_of(result.places);
    attentions.push_back({{"attention", result.config.name},
                          {"places", result.places.size()},
                          {"relative_error", mean.relative_error},
                          {"nominal_density", mean.nominal_density},
                          {"executed_density", mean.executed_density}});
  }
  const Json record = {
      {"inspection", {{"prompt", prompt}, {"seconds", seconds}, {"attentions", attentions}}}};
  // A preset's path may be anything.
  put_line(record.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void ClipStream::put_line(const std::string& line) {
  const std::string text = line + "\n";
  put(text.data(), text.size());
}

// Flushed each time: who reads is to have a whole record, also of a run that is cut short.
void ClipStream::put(const void* bytes, std::size_t count) {
  const bool done = std::fwrite(bytes, 1, count, file_) == count && std::fflush(file_) == 0;
  PSAGEN_CHECK(done, ErrorCode::kIo, "cannot write a record: ", std::strerror(errno));
}

}  // namespace psagen
