// Runs the real psa-gen on the tiny model, as a shell would.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace psagen::testing {

struct ProgramResult {
  int exit_code = -1;  // 128 + number where a signal ended it
  std::string out;
  std::string err;
};

struct ProgramOptions {
  std::filesystem::path folder = ".";       // where it runs
  std::optional<std::uint64_t> file_limit;  // no file may grow beyond this: a disk that is full
  // Called with each line of standard output and the process, as soon as the line is there.
  std::function<void(const std::string& line, pid_t process)> on_line;
};

ProgramResult run_program(const std::vector<std::string>& arguments,
                          const ProgramOptions& options = {});
// The same for another program, found through PATH.
ProgramResult run_command(const std::vector<std::string>& command,
                          const ProgramOptions& options = {});

std::filesystem::path tiny_model();

// `--model TINY --prompt ... --threads 1 --progress none` and what a test adds.
std::vector<std::string> tiny_run(const std::vector<std::string>& more);

}  // namespace psagen::testing
