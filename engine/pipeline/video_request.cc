// What a request must satisfy (declared in text_to_video.h).
#include <algorithm>
#include <cmath>

#include "engine/pipeline/text_to_video.h"
#include "kernels/core/error.h"
#include "kernels/psa/pyramid_sparse_attention.h"

namespace psagen::engine {
namespace {

constexpr ErrorCode kInvalid = ErrorCode::kInvalidArgument;
constexpr std::int64_t kPatchEdge = 2;
constexpr std::int64_t kMaxSteps = 1000;  // the models know that many noise levels

// The member of offset, offset + step, offset + 2 step, ... up to `limit` that is nearest to value.
std::int64_t nearest(std::int64_t value, std::int64_t offset, std::int64_t step,
                     std::int64_t limit) {
  const std::int64_t clamped = std::clamp(value, offset, limit);
  const std::int64_t rounded = offset + (clamped - offset + step / 2) / step * step;
  return rounded > limit ? rounded - step : rounded;
}

void check_size(const char* field, std::int64_t value, std::int64_t step, std::int64_t limit) {
  const std::int64_t wanted = nearest(value, step, step, limit);
  PSAGEN_CHECK(value == wanted, kInvalid, field, " is ", value, ", wanted a multiple of ", step,
               " up to ", limit, "; the nearest is ", wanted);
}

void check_num_frames(std::int64_t value, std::int64_t step, std::int64_t limit) {
  const std::int64_t wanted = nearest(value, 1, step, limit);
  PSAGEN_CHECK(value == wanted, kInvalid, "num_frames is ", value, ", wanted ", step,
               " k + 1 up to ", limit, "; the nearest is ", wanted);
}

bool is_blank(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); });
}

// Steps are not checked: a preset may know more than a run has.
void check_override(const char* field, const std::vector<IndexRange>& ranges, std::int64_t count) {
  for (const IndexRange& range : ranges)
    PSAGEN_CHECK(range.last < count, kInvalid, "attention preset: \"overrides\" name ", field,
                 " up to ", range.last, ", but the model has ", count, " (0 to ", count - 1, ")");
}

}  // namespace

void validate(const VideoRequest& request, const ModelConfig& model) {
  const std::int64_t edge = kPatchEdge * model.vae.spatial_stride();
  const std::int64_t positions = model.transformer.rope_max_seq_len;
  PSAGEN_CHECK(!is_blank(request.prompt), kInvalid, "prompt is empty");
  check_size("width", request.width, edge, positions * edge);
  check_size("height", request.height, edge, positions * edge);
  const std::int64_t stride = model.vae.temporal_stride();
  check_num_frames(request.num_frames, stride, (positions - 1) * stride + 1);
  PSAGEN_CHECK(request.num_steps >= 1 && request.num_steps <= kMaxSteps, kInvalid, "num_steps is ",
               request.num_steps, ", wanted 1 to ", kMaxSteps);
  PSAGEN_CHECK(std::isfinite(request.guidance_scale) && request.guidance_scale >= 0.0, kInvalid,
               "guidance_scale is ", request.guidance_scale, ", wanted a number from 0 on");
  PSAGEN_CHECK(std::isfinite(request.shift) && request.shift > 0.0, kInvalid, "shift is ",
               request.shift, ", wanted a number above 0");
  if (request.attention.kind != AttentionKind::kPyramid) return;
  kernels::validate(request.attention.psa);
  for (const AttentionOverride& entry : request.attention.overrides) {
    check_override("layers", entry.layers, model.transformer.num_layers);
    check_override("heads", entry.heads, model.transformer.num_attention_heads);
  }
}

std::int64_t num_video_tokens(const ModelConfig& model, std::int64_t width, std::int64_t height,
                              std::int64_t num_frames) {
  const std::int64_t edge = kPatchEdge * model.vae.spatial_stride();
  return ((num_frames - 1) / model.vae.temporal_stride() + 1) * (height / edge) * (width / edge);
}

}  // namespace psagen::engine
