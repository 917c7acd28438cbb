// `psa-gen inspect attention`: what sparse attention chooses, and what it loses.
#pragma once

#include <span>
#include <string>

#include "app/command.h"

namespace psagen::app {

// `psa-gen inspect attention`: what sparse attention chooses and loses in a clip's denoising.
void run_inspect(std::span<const std::string> arguments, Invocation& invocation);

}  // namespace psagen::app
