// Picks the command; the program's only catch; Error code -> exit code.
#include <algorithm>
#include <array>
#include <new>
#include <string>
#include <vector>

#include "app/command.h"
#include "app/command_bench.h"
#include "app/command_generate.h"
#include "app/command_info.h"
#include "app/command_inspect.h"
#include "app/command_synth.h"
#include "app/console.h"
#include "app/interrupt.h"
#include "engine/config/nearest_name.h"

namespace psagen::app {
namespace {

struct Command {
  const char* name;
  const char* summary;
  void (*run)(std::span<const std::string> arguments, Invocation& invocation);
};

constexpr std::array kCommands = {
    Command{"generate", "make a video; also without this word", &run_generate},
    Command{"bench", "time the parts of a model on this machine", &run_bench},
    Command{"info", "say what a model directory holds", &run_info},
    Command{"inspect", "see what sparse attention chooses, and what it loses", &run_inspect},
    Command{"synth", "clips and captions of the default model's world", &run_synth},
};

std::string help_page() {
  std::string page = generate_help() + "\nCommands (each has its own --help):\n";
  for (const Command& command : kCommands) {
    std::string name = command.name;
    name.resize(10, ' ');
    page += concat("  psa-gen ", name, command.summary, "\n");
  }
  return page;
}

void run(std::span<const std::string> arguments, Invocation& invocation) {
  const std::string first = arguments.empty() ? "" : arguments[0];
  if (first == "--help" || first == "-h" || first == "help") {
    return invocation.console.page(help_page());
  }
  const bool is_flag = first.empty() || first[0] == '-';
  if (is_flag) return run_generate(arguments, invocation);
  for (const Command& command : kCommands) {
    if (first == command.name) return command.run(arguments.subspan(1), invocation);
  }
  std::vector<std::string> names;
  for (const Command& command : kCommands) names.emplace_back(command.name);
  throw Error(ErrorCode::kInvalidArgument,
              concat("unknown command '", first, "'", engine::name_suggestion(first, names)));
}

}  // namespace
}  // namespace psagen::app

int main(int argc, char** argv) {
  using namespace psagen;
  using namespace psagen::app;
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  Console console(stdout, stderr);
  Interrupt interrupt;
  Invocation invocation{console, interrupt};
  try {
    run(arguments, invocation);
    return 0;
  } catch (const Error& error) {
    console.error(error.code() == ErrorCode::kInternal
                      ? concat(error.message(), " [", error.where(), "]")
                      : error.message());
    return exit_code(error.code(), invocation.phase);
  } catch (const std::bad_alloc&) {
    console.error("out of memory; a smaller --size or fewer --frames need less");
    return exit_code(ErrorCode::kOutOfMemory, invocation.phase);
  } catch (const std::exception& error) {
    console.error(concat("a fault of this program: ", error.what()));
    return exit_code(ErrorCode::kInternal, invocation.phase);
  }
}
