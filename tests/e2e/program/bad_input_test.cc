// Every way the user's own words can be wrong: one line on standard error, the exit code of its
// class, nothing left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/e2e/program/program.h"
#include "tests/support/temporary_folder.h"

namespace psagen {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ProgramOptions;
using testing::ProgramResult;
using testing::read_text;
using testing::run_program;
using testing::TemporaryFolder;
using testing::tiny_run;
using testing::write_text;

void expect_one_line(const ProgramResult& result, int exit_code,
                     const std::vector<std::string>& parts) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_TRUE(result.err.starts_with("psa-gen: error: ")) << result.err;
  for (const std::string& part : parts) EXPECT_THAT(result.err, HasSubstr(part));
}

struct Case {
  const char* name;
  std::vector<std::string> flags;
  int exit_code;
  std::vector<std::string> parts;  // of the message
};

void PrintTo(const Case& bad, std::ostream* out) { *out << bad.name; }

std::string case_name(const ::testing::TestParamInfo<Case>& info) { return info.param.name; }

class BadInput : public ::testing::TestWithParam<Case> {};

TEST_P(BadInput, IsNamedAndNothingIsWritten) {
  const TemporaryFolder folder;
  ProgramOptions options;
  options.folder = folder.path();
  const ProgramResult result = run_program(tiny_run(GetParam().flags), options);
  expect_one_line(result, GetParam().exit_code, GetParam().parts);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(folder.names(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Settings, BadInput,
    ::testing::Values(
        Case{"SizeNoMultiple", {"--size", "100x64"}, 2, {"100", "16", "96"}},
        Case{"HeightNoMultiple", {"--size", "64x42"}, 2, {"42", "16", "48"}},
        Case{"SizeNoNumbers", {"--size", "large"}, 2, {"--size", "large", "832x480"}},
        Case{"SizeZero", {"--size", "0x64"}, 2, {"--size", "0x64"}},
        Case{"SizeTooLarge", {"--size", "99999999999999999999x64"}, 2, {"--size"}},
        Case{"FramesBetween", {"--frames", "7"}, 2, {"7", "4", "9"}},
        Case{"FramesZero", {"--frames", "0"}, 2, {"--frames", "0", "1"}},
        Case{"FramesText", {"--frames", "many"}, 2, {"--frames", "many"}},
        Case{"FramesAndSeconds", {"--frames", "5", "--seconds", "1"}, 2, {"frames", "seconds"}},
        Case{"StepsZero", {"--steps", "0"}, 2, {"--steps", "1 to 1000"}},
        Case{"StepsTooMany", {"--steps", "1001"}, 2, {"--steps", "1001"}},
        Case{"FpsZero", {"--fps", "0"}, 2, {"--fps", "0.1"}},
        Case{"CfgNegative", {"--cfg", "-1"}, 2, {"--cfg", "-1"}},
        Case{"CfgNotANumber", {"--cfg", "nan"}, 2, {"--cfg", "nan"}},
        Case{"ShiftZero", {"--shift", "0"}, 2, {"--shift"}},
        Case{"SeedNegative", {"--seed", "-1"}, 2, {"--seed", "-1"}},
        Case{"SeedTooLarge",
             {"--seed", "18446744073709551616"},
             2,
             {"--seed", "18446744073709551616", "18446744073709551615"}},
        Case{"SamplerUnknown", {"--sampler", "unpic"}, 2, {"unpic", "unipc"}},
        Case{"AttentionUnknown", {"--attention", "pas"}, 2, {"pas"}},
        Case{"PresetUnknown", {"--attention", "psa:no-such-preset"}, 2, {"no-such-preset"}},
        Case{"PresetFileAbsent", {"--attention", "psa:absent.json"}, 3, {"absent.json"}},
        Case{"PresetFileOfSomethingElse", {"--attention", "psa:/proc/self/status"}, 2, {"status"}},
        Case{"OverrideOfNoLayer",
             {"--attention",
              R"(psa:{"key_block": 32, "selection": "quota", "level_bounds": [0, 0, 0, 1],
                      "overrides": [{"layers": [9], "attention": "dense"}]})"},
             2,
             {"overrides", "layers", "9", "2"}},
        Case{"DeviceUnknown", {"--device", "cpuu"}, 2, {"cpuu", "cpu"}},
        Case{"DeviceAbsent", {"--device", "cuda:99"}, 6, {"GPU"}},
        Case{"PlanOfTheCpu", {"--plan"}, 2, {"--plan", "cpu"}},
        Case{"VramLimitZero", {"--vram-limit", "0"}, 2, {"--vram-limit"}},
        Case{"TilingUnknown", {"--vae-tiling", "onn"}, 2, {"onn", "on"}},
        Case{"DtypeUnknown", {"--dtype", "f8"}, 2, {"f8", "f16"}},
        Case{"DtypeOfTheCpu", {"--device", "cpu", "--dtype", "bf16"}, 4, {"BF16", "F32"}},
        Case{"ThreadsZero", {"--threads", "0"}, 2, {"--threads"}},
        Case{"ProgressUnknown", {"--progress", "jsn"}, 2, {"jsn", "json"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Prompts, BadInput,
    ::testing::Values(Case{"Empty", {"--prompt", ""}, 2, {"prompt is empty"}},
                      Case{"Blank", {"--prompt", " \t\n "}, 2, {"prompt is empty"}},
                      Case{
                          "NotUtf8", {"--prompt", "a caf\xE9 at night"}, 2, {"UTF-8", "0xe9", "5"}},
                      Case{"Overlong", {"--prompt", "x\xC0\x80"}, 2, {"UTF-8", "1"}},
                      Case{"NegativeNotUtf8", {"--negative-prompt", "\xFF"}, 2, {"UTF-8", "0xff"}},
                      Case{"PromptAndFile",
                           {"--prompt", "x", "--prompt-file", "y"},
                           2,
                           {"prompt", "prompt-file"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Flags, BadInput,
    ::testing::Values(
        Case{"Unknown", {"--stepz", "3"}, 2, {"--stepz", "--steps"}},
        Case{"UnknownLetter", {"-x", "3"}, 2, {"-x"}},
        Case{"Twice", {"--steps", "3", "--steps=4"}, 2, {"--steps", "twice"}},
        Case{"TwiceByAlias", {"--cfg", "3", "--guidance-scale", "4"}, 2, {"--cfg", "twice"}},
        Case{"NoValue", {"--steps"}, 2, {"--steps", "N"}},
        Case{"FlagForValue", {"--steps", "--overwrite"}, 2, {"--steps", "--overwrite"}},
        Case{"SwitchWithValue", {"--overwrite=yes"}, 2, {"--overwrite"}},
        Case{"StrayWord", {"circle"}, 2, {"circle"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Files, BadInput,
    ::testing::Values(
        Case{"ConfigMissing", {"--config", "absent.json"}, 3, {"absent.json"}},
        Case{"ConfigIsAFolder", {"--config", "/"}, 5, {"/"}},
        Case{"FromMissing", {"--from", "absent.mp4"}, 3, {"absent.mp4"}},
        Case{"FromIsNoVideo", {"--from", "/proc/self/status"}, 3, {"/proc/self/status"}},
        Case{"OutputKindUnknown", {"-o", "clip.avi"}, 2, {"clip.avi", ".mp4"}},
        Case{"OutputFolderMissing", {"-o", "absent/clip.mp4"}, 5, {"absent/clip.mp4", "no folder"}},
        Case{"OutputFolderUnwritable", {"-o", "/proc/clip.mp4"}, 5, {"/proc/clip.mp4"}},
        Case{"FramesFolderUnwritable", {"--frames-dir", "/proc/frames"}, 5, {"/proc/frames"}},
        Case{"ReportUnwritable",
             {"-o", "clip.mp4", "--report", "/proc/report.json"},
             5,
             {"/proc/report.json"}},
        Case{"DiskTooSmall",
             {"-o", "clip.mp4", "--size", "16384x16384", "--frames", "4093"},
             5,
             {"clip.mp4", "KiB free"}}),
    case_name);

TEST(BadPrompt, FileMissingOrFolder) {
  const TemporaryFolder folder;
  ProgramOptions options;
  options.folder = folder.path();
  expect_one_line(run_program({"--prompt-file", "absent.txt"}, options), 3, {"absent.txt"});
  expect_one_line(run_program({"--prompt-file", "."}, options), 5, {"."});
  write_text(folder / "empty.txt", "\xEF\xBB\xBF \n");
  expect_one_line(run_program({"--prompt-file", "empty.txt"}, options), 2, {"prompt is empty"});
  expect_one_line(run_program({}, options), 2, {"--prompt"});
  expect_one_line(run_program({"generat"}, options), 2, {"generat", "generate"});
}

struct ConfigCase {
  const char* text;
  std::vector<std::string> parts;
};

TEST(BadConfig, IsNamedWithFileAndKey) {
  const std::vector<ConfigCase> cases = {
      {R"({"steps": 2,})", {"run.json"}},
      {R"([1, 2])", {"run.json"}},
      {R"({"stpes": 2})", {"run.json", "stpes", "steps"}},
      {R"({"steps": "two"})", {"run.json", "steps", "two"}},
      {R"({"steps": 2.5})", {"run.json", "steps", "2.5"}},
      {R"({"steps": 0})", {"run.json", "steps", "0"}},
      {R"({"seed": -1})", {"run.json", "seed", "-1"}},
      {R"({"size": "64"})", {"run.json", "size", "64"}},
      {R"({"frames": 5, "seconds": 1})", {"run.json", "frames", "seconds"}},
      {R"({"overwrite": "yes"})", {"run.json", "overwrite"}},
      {R"({"config": "other.json"})", {"run.json", "config"}},
      {R"({"steps": 2, "steps": 3})", {"run.json", "steps"}},
      {"{\"output\": \"\xFF\"}", {"run.json"}},
  };
  for (const ConfigCase& bad : cases) {
    const TemporaryFolder folder;
    ProgramOptions options;
    options.folder = folder.path();
    write_text(folder / "run.json", bad.text);
    const ProgramResult result = run_program(
        {"--model", testing::tiny_model().string(), "-p", "x", "--config", "run.json"}, options);
    expect_one_line(result, 3, bad.parts);
    EXPECT_THAT(folder.names(), ElementsAre("run.json")) << bad.text;
  }
}

TEST(ExistingOutput, IsKeptUnlessOverwriting) {
  for (const char* flag : {"-o", "--report", "--frames-dir"}) {
    const TemporaryFolder folder;
    ProgramOptions options;
    options.folder = folder.path();
    const std::string kind = flag;
    const std::string name = kind == "-o" ? "mine.mp4" : "mine";
    fs::path kept = folder / name;
    if (kind == "--frames-dir") {
      fs::create_directory(kept);
      kept /= "note.txt";
    }
    write_text(kept, "kept");
    std::vector<std::string> flags = {flag, name, "--steps", "1"};
    if (kind == "--report") flags.insert(flags.end(), {"-o", "clip.mp4"});
    expect_one_line(run_program(tiny_run(flags), options), 2, {"mine", "--overwrite"});
    EXPECT_EQ(read_text(kept), "kept");
    EXPECT_THAT(folder.names(), ElementsAre(name));
    flags.push_back("--overwrite");
    const ProgramResult result = run_program(tiny_run(flags), options);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(read_text(kept) == "kept", kind == "--frames-dir");
  }
}

TEST(FullDisk, IsAnErrorAndLeavesNothing) {
  for (const std::vector<std::string>& outputs : {std::vector<std::string>{"-o", "clip.mp4"},
                                                  {"-o", "clip.y4m"},
                                                  {"--frames-dir", "clip"},
                                                  {"-o", "clip.mp4", "--frames-dir", "clip"}}) {
    const TemporaryFolder folder;
    ProgramOptions options;
    options.folder = folder.path();
    options.file_limit = 1000;
    const ProgramResult result = run_program(tiny_run(outputs), options);
    expect_one_line(result, 5, {"clip"});
    EXPECT_THAT(folder.names(), IsEmpty()) << outputs.at(1);
  }
}

TEST(From, AnotherModelOrAnotherProgramsVideoIsRefused) {
  const TemporaryFolder folder;
  ProgramOptions options;
  options.folder = folder.path();
  ASSERT_EQ(run_program(tiny_run({"-o", "clip.y4m", "--steps", "1"}), options).exit_code, 0);
  std::string record = read_text(folder / "clip.y4m.json");
  const std::size_t hash = record.find("\"hash\":\"") + 8;
  record.replace(hash, 12, "0123456789ab");
  write_text(folder / "other.json", record);
  // Named on the command line the model is the user's choice: a warning. Otherwise it must be the
  // one that made the video.
  const ProgramResult chosen =
      run_program({"--from", "other.json", "--model", testing::tiny_model().string(), "-o", "a.mp4",
                   "--progress", "none", "--threads", "1"},
                  options);
  EXPECT_EQ(chosen.exit_code, 0) << chosen.err;
  EXPECT_THAT(chosen.err, HasSubstr("warning"));
  EXPECT_THAT(chosen.err, HasSubstr("0123456789ab"));
  const std::string command = "PSAGEN_MODEL='" + testing::tiny_model().string() + "' '" +
                              PSAGEN_PROGRAM + "' --from other.json -o b.mp4";
  expect_one_line(testing::run_command({"sh", "-c", command}, options), 3,
                  {"0123456789ab", "tiny_model", "--model"});
  EXPECT_FALSE(fs::exists(folder / "b.mp4"));

  write_text(folder / "foreign.json", R"({"program": "other", "settings": {}})");
  expect_one_line(run_program(tiny_run({"--from", "foreign.json"}), options), 3, {"foreign.json"});
  const ProgramResult ffmpeg = testing::run_command(
      {"ffmpeg", "-v", "error", "-i", "clip.y4m", "-metadata", "comment=nice clip", "plain.mp4"},
      options);
  ASSERT_EQ(ffmpeg.exit_code, 0) << ffmpeg.err;
  expect_one_line(run_program(tiny_run({"--from", "plain.mp4"}), options), 3,
                  {"plain.mp4", "comment"});
}

}  // namespace
}  // namespace psagen
