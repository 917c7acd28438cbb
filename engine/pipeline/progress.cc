#include "engine/pipeline/progress.h"

namespace psagen::engine {

const char* stage_name(Stage stage) {
  switch (stage) {
    case Stage::kLoad:
      return "load";
    case Stage::kEncodeText:
      return "encode text";
    case Stage::kDenoise:
      return "denoise";
    case Stage::kDecode:
      return "decode";
    case Stage::kWrite:
      return "write";
  }
  return "?";
}

}  // namespace psagen::engine
