// Pages a person can read, made from the field tables.
#pragma once

#include <span>
#include <string>

#include "app/option_table.h"

namespace psagen::app {

// One line per field under its group's heading, wrapped at 80 columns.
std::string flag_section(std::span<const FieldText> fields);

// The exit codes, as the page and the README list them.
std::string exit_code_section();

// `start` and then the words of `text`, wrapped at 80 columns; later lines are indented as far as
// `start` is long.
std::string wrapped(const std::string& start, const std::string& text);

}  // namespace psagen::app
