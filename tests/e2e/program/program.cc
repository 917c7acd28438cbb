#include "tests/e2e/program/program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <stdexcept>

namespace psagen::testing {

namespace {

struct Pipe {
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(int end) {
    if (ends[end] >= 0) ::close(ends[end]);
    ends[end] = -1;
  }
  std::array<int, 2> ends{-1, -1};
};

[[noreturn]] void become(const std::vector<char*>& argv, const ProgramOptions& options,
                         const Pipe& out, const Pipe& err) {
  ::dup2(out.ends[1], STDOUT_FILENO);
  ::dup2(err.ends[1], STDERR_FILENO);
  // Whoever runs the tests may ignore or block signals; a shell's child does not.
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (options.file_limit) {
    const rlimit limit{*options.file_limit, *options.file_limit};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  // Spinning threads of several tests at once would take each other's time.
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  ::unsetenv("PSAGEN_MODEL");
  // A test keeps no prompts in its user's folders.
  ::setenv("XDG_CACHE_HOME", "/dev/null", 1);
  if (::chdir(options.folder.c_str()) == 0) ::execvp(argv[0], argv.data());
  ::_exit(127);
}

void report_lines(std::string& seen, const std::string& text, const ProgramOptions& options,
                  pid_t process) {
  if (!options.on_line) return;
  seen += text;
  for (std::size_t end = seen.find('\n'); end != std::string::npos; end = seen.find('\n')) {
    options.on_line(seen.substr(0, end), process);
    seen.erase(0, end + 1);
  }
}

}  // namespace

ProgramResult run_command(const std::vector<std::string>& command, const ProgramOptions& options) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  Pipe out;
  Pipe err;
  const pid_t process = ::fork();
  if (process < 0) throw std::runtime_error("fork failed");
  if (process == 0) become(argv, options, out, err);
  out.close_end(1);
  err.close_end(1);

  ProgramResult result;
  std::string unfinished_line;
  std::array<pollfd, 2> polled{pollfd{out.ends[0], POLLIN, 0}, pollfd{err.ends[0], POLLIN, 0}};
  std::array<std::string*, 2> texts{&result.out, &result.err};
  while (polled[0].fd >= 0 || polled[1].fd >= 0) {
    ::poll(polled.data(), polled.size(), -1);
    for (std::size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].fd < 0 || polled[i].revents == 0) continue;
      std::array<char, 4096> bytes;
      const ssize_t count = ::read(polled[i].fd, bytes.data(), bytes.size());
      if (count <= 0) {
        polled[i].fd = -1;
        continue;
      }
      const std::string text(bytes.data(), static_cast<std::size_t>(count));
      *texts[i] += text;
      if (i == 0) report_lines(unfinished_line, text, options, process);
    }
  }
  int status = 0;
  ::waitpid(process, &status, 0);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

ProgramResult run_program(const std::vector<std::string>& arguments,
                          const ProgramOptions& options) {
  std::vector<std::string> command = {PSAGEN_PROGRAM};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_command(command, options);
}

std::filesystem::path tiny_model() {
  return std::filesystem::path(PSAGEN_SOURCE_DIR) / "tests/data/tiny_model";
}

std::vector<std::string> tiny_run(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {
      "--model", tiny_model().string(), "--prompt", "a red circle", "--seed", "5", "--threads",
      "1",       "--progress",          "none",     "--device",     "cpu"};
  // A flag may be given once, so the test's own value takes the place of ours.
  for (const std::string& flag : more) {
    for (std::size_t i = 0; i < arguments.size(); i += 2) {
      if (arguments[i] != flag) continue;
      arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(i),
                      arguments.begin() + static_cast<std::ptrdiff_t>(i) + 2);
      break;
    }
  }
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace psagen::testing
