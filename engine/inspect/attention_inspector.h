// Looks at the self-attention of a run in progress: tries sparse attentions on what its layers
// attend to, and measures them against dense attention there.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/config/attention_config.h"
#include "engine/dit/attention_probe.h"
#include "engine/inspect/block_map.h"

namespace psagen::engine {

struct InspectedHead {
  std::int64_t step = 0, layer = 0, head = 0;
};

// Which calls are looked at. Each of `steps` with each of `layers` is one place; `head` is looked
// at more closely, at a place of its own or at one of those.
struct InspectedPlaces {
  std::set<std::int64_t> steps, layers;
  std::int64_t forward = 0;  // 0 with the prompt, 1 with the negative one
  std::optional<InspectedHead> head;
};

// Densities are means over heads, the error is over all heads (attention_comparison.h).
struct PlaceResult {
  std::int64_t step = 0, layer = 0;
  double nominal_density = 0.0, executed_density = 0.0, relative_error = 0.0;
};

struct HeadResult {
  double nominal_density = 0.0, executed_density = 0.0, relative_error = 0.0;  // of this head
  double layer_error = 0.0;                                                    // of all heads
  BlockMap map;
};

struct InspectedAttention {
  AttentionConfig config;
  std::vector<PlaceResult> places;  // in the order of the run
  std::optional<HeadResult> head;
};

// Means over places; with none, zeros.
PlaceResult mean_of(const std::vector<PlaceResult>& places);

// The attention of the run itself: that of `along`, in the token order that `tried` want, since all
// are to compute from the same q, k and v. Dense attention does not mind the order, so it runs in
// theirs: as PSA whose warm-up never ends. Throws Error(kInvalidArgument) where one of `tried` is
// dense, which all are compared with, or where orders differ.
AttentionConfig trajectory_attention(const AttentionConfig& along,
                                     const std::vector<AttentionConfig>& tried);

class AttentionInspector final : public AttentionProbe {
 public:
  // `tried` are sparse. Each attends at every place, warm-up or not, and chooses its blocks anew.
  AttentionInspector(const std::vector<AttentionConfig>& tried, InspectedPlaces places);

  void begin_forward(const StepPosition& position, std::int64_t forward) override;
  void attended(kernels::Ops& ops, std::int64_t layer, const AttentionInputs& inputs) override;

  const std::vector<InspectedAttention>& results() const { return results_; }

 private:
  InspectedPlaces places_;
  std::vector<InspectedAttention> results_;
  StepPosition position_;
  bool looks_ = false;  // at this forward
};

}  // namespace psagen::engine
