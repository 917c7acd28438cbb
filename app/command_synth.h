// `psa-gen synth`: clips and captions of MovingShapes, the world of the default model.
#pragma once

#include <span>
#include <string>

#include "app/command.h"

namespace psagen::app {

void run_synth(std::span<const std::string> arguments, Invocation& invocation);

}  // namespace psagen::app
