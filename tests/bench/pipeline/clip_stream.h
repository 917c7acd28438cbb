// What bench_attention_quality hands to the script that drives it, over a pipe or in a file:
// records of one line of JSON each, that of a clip followed by its frames' bytes.
//
//   {"clip": {"prompt": 0, "attention": 2, "frames": 33, "height": 256, "width": 256, "seconds":
//   0.4}} frames x height x width x 3 bytes, 8-bit RGB
//   {"inspection": {"prompt": 0, "seconds": 3.1, "attentions": [{"attention": "psa:...", "places":
//   32,
//                   "relative_error": 0.1, "nominal_density": 0.1, "executed_density": 0.1}, ...]}}
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/inspect/attention_inspector.h"
#include "engine/media/frame.h"

namespace psagen {

// The frames of one clip, kept until its time is known.
struct RecordedClip {
  void add(const engine::Frame& frame);

  std::vector<std::uint8_t> rgb;
  std::int64_t num_frames = 0, height = 0, width = 0;
};

class ClipStream {
 public:
  // Empty: standard output. A FIFO may be named as well. Throws Error(kIo).
  explicit ClipStream(const std::filesystem::path& path);

  // Indices are those of the lists the program was given, from 0 on. Throw Error(kIo).
  void write(std::int64_t prompt, std::int64_t attention, double seconds, const RecordedClip& clip);
  void write(std::int64_t prompt, double seconds,
             const std::vector<engine::InspectedAttention>& results);

 private:
  void put(const void* bytes, std::size_t count);
  void put_line(const std::string& line);

  std::unique_ptr<std::FILE, int (*)(std::FILE*)> owned_;
  std::FILE* file_;
};

}  // namespace psagen
