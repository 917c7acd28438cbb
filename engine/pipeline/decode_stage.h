// The last stage of a run: from the latent to frames, in smaller parts where memory runs out.
#pragma once

#include "engine/pipeline/stage_tracker.h"
#include "engine/pipeline/text_to_video.h"
#include "engine/vae/decoder.h"

namespace psagen::engine {

// Where the decode in `first` finds too little memory on a GPU (a plan says what the program takes,
// not what others take meanwhile), the next ones of decode_splits(tiling) are tried: hours of
// denoising shall not be lost. Every frame goes to `sink` once. Returns what it was decoded in.
// Throws Error(kOutOfMemory) where nothing is left to try.
DecodeSplit decode_clip(kernels::Ops& ops, const VaeDecoder& vae, ConstTensorView latent,
                        std::int64_t num_frames, const DecodeSplit& first, VaeTiling tiling,
                        const FrameSink& sink, StageTracker& stages);

}  // namespace psagen::engine
