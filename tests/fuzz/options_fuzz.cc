// A command line of any words; they are separated by newlines in the input.
#include <sstream>
#include <vector>

#include "app/options.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> arguments;
  std::istringstream lines(psagen::testing::as_text(data, size));
  for (std::string line; std::getline(lines, line);) arguments.push_back(line);
  psagen::testing::allow_errors([&] { psagen::app::parse_options(arguments); }, true);
  return 0;
}
