// psa-gen bench: how fast this machine runs the parts of a model.
#pragma once

#include <span>
#include <string>

#include "app/command.h"

namespace psagen::app {

void run_bench(std::span<const std::string> arguments, Invocation& invocation);

}  // namespace psagen::app
