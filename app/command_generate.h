// `psa-gen [generate]`: one prompt, one video.
#pragma once

#include <span>
#include <string>

#include "app/command.h"

namespace psagen::app {

// Throws Error; what it wrote is then gone.
void run_generate(std::span<const std::string> arguments, Invocation& invocation);

// The page of `psa-gen --help`, without the list of commands.
std::string generate_help();

}  // namespace psagen::app
