// `psa-gen info --model DIR`: what a checkpoint holds.
#pragma once

#include <span>
#include <string>

#include "app/command.h"

namespace psagen::app {

void run_info(std::span<const std::string> arguments, Invocation& invocation);

}  // namespace psagen::app
