// What a successful run leaves, judged by ffprobe and by reading it back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "engine/media/video_reader.h"
#include "tests/e2e/program/program.h"
#include "tests/e2e/program/tiny_clip.h"
#include "tests/support/temporary_folder.h"

namespace psagen {
namespace {

namespace fs = std::filesystem;
using engine::read_video;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ProgramOptions;
using testing::ProgramResult;
using testing::read_text;
using testing::run_in;
using testing::run_program;
using testing::settings_of;
using testing::TemporaryFolder;
using testing::tiny_run;
using ::testing::UnorderedElementsAre;
using testing::write_text;

json ffprobe(const fs::path& path) {
  const ProgramResult result =
      testing::run_command({"ffprobe", "-v", "error", "-count_frames", "-show_streams",
                            "-show_format", "-of", "json", path.string()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return json::parse(result.out, nullptr, false);
}

TEST(Generate, TilesGiveTheSameVideo) {
  const TemporaryFolder folder;
  const std::vector<std::string> run = {"--size",  "272x64", "--frames", "9",
                                        "--steps", "1",      "--seed",   "4"};
  const auto with = [&](const std::string& tiling, const std::string& name) {
    std::vector<std::string> flags = run;
    flags.insert(flags.end(),
                 {"--vae-tiling", tiling, "-o", name + ".y4m", "--report", name + ".json.report"});
    EXPECT_EQ(run_in(folder, flags).exit_code, 0);
    return json::parse(read_text(folder / (name + ".json.report"))).at("vae_tiles");
  };
  EXPECT_EQ(with("on", "tiles"), json::array({1, 2}));
  EXPECT_EQ(with("auto", "whole"), json::array({1, 1}));
  const std::string whole = read_text(folder / "whole.y4m"),
                    tiles = read_text(folder / "tiles.y4m");
  ASSERT_EQ(tiles.size(), whole.size());
  // Values halfway between two levels may round either way where a sum is in another order.
  std::size_t different = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    ASSERT_LE(std::abs(static_cast<unsigned char>(whole[i]) - static_cast<unsigned char>(tiles[i])),
              1)
        << "byte " << i;
    if (whole[i] != tiles[i]) ++different;
  }
  EXPECT_LE(different, whole.size() / 1000);
}

TEST(Generate, FfprobeAgreesWithWhatWasAsked) {
  const TemporaryFolder folder;
  const ProgramResult result =
      run_in(folder, {"--size", "80x48", "--frames", "9", "--fps", "12.5", "--cfg", "2.5", "--seed",
                      "18446744073709551615", "-n", "grau, \"unscharf\" 色", "--steps", "2",
                      "--sampler", "dpm++", "-o", "clip.mp4"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(folder.names(), ElementsAre("clip.mp4"));
  const json probe = ffprobe(folder / "clip.mp4");
  ASSERT_EQ(probe.at("streams").size(), 1U);
  const json& stream = probe.at("streams").at(0);
  EXPECT_EQ(stream.at("codec_name"), "h264");
  EXPECT_EQ(stream.at("profile"), "High");
  EXPECT_EQ(stream.at("width"), 80);
  EXPECT_EQ(stream.at("height"), 48);
  EXPECT_EQ(stream.at("nb_read_frames"), "9");
  EXPECT_EQ(stream.at("nb_frames"), "9");
  EXPECT_EQ(stream.at("avg_frame_rate"), "25/2");
  EXPECT_EQ(stream.at("r_frame_rate"), "25/2");
  EXPECT_EQ(stream.at("duration"), "0.720000");
  EXPECT_EQ(stream.at("pix_fmt"), "yuv420p");
  EXPECT_EQ(stream.at("color_range"), "tv");
  EXPECT_EQ(stream.at("color_space"), "bt709");
  EXPECT_EQ(stream.at("color_transfer"), "bt709");
  EXPECT_EQ(stream.at("color_primaries"), "bt709");

  const json comment = json::parse(probe.at("format").at("tags").at("comment").get<std::string>());
  EXPECT_EQ(comment.at("program"), "psa-gen");
  EXPECT_EQ(comment.at("model").at("name"), "tiny_model");
  EXPECT_EQ(comment.at("model").at("hash").get<std::string>().size(), 64U);
  const json wanted = {{"prompt", "a red circle"},
                       {"negative-prompt", "grau, \"unscharf\" 色"},
                       {"size", "80x48"},
                       {"frames", 9},
                       {"fps", 12.5},
                       {"steps", 2},
                       {"cfg", 2.5},
                       {"shift", 3.0},
                       {"sampler", "dpm++"},
                       {"seed", 18446744073709551615ULL},
                       {"attention", "dense"}};
  EXPECT_EQ(comment.at("settings"), wanted);
  // faststart: the index comes before the data.
  const std::string bytes = read_text(folder / "clip.mp4");
  EXPECT_LT(bytes.find("moov"), bytes.find("mdat"));
}

TEST(Generate, DefaultsComeFromTheModel) {
  const TemporaryFolder folder;
  ASSERT_EQ(run_in(folder, {"-o", "clip.mp4"}).exit_code, 0);
  const json settings = settings_of(folder / "clip.mp4");
  EXPECT_EQ(settings.at("size"), "64x64");
  EXPECT_EQ(settings.at("frames"), 5);
  EXPECT_EQ(settings.at("fps"), 8.0);
  EXPECT_EQ(settings.at("steps"), 3);
  EXPECT_EQ(settings.at("cfg"), 3.0);
  EXPECT_EQ(settings.at("sampler"), "unipc");
}

TEST(Generate, SameSeedSameBytesWithAnyNumberOfThreads) {
  const TemporaryFolder folder;
  for (const char* threads : {"1", "2"}) {
    for (const char* copy : {"a", "b"}) {
      ASSERT_EQ(run_in(folder, {"--frames", "9", "--threads", threads, "-o",
                                std::string(copy) + threads + ".mp4"})
                    .exit_code,
                0);
    }
  }
  const std::string bytes = read_text(folder / "a1.mp4");
  EXPECT_GT(bytes.size(), 1000U);
  EXPECT_EQ(read_text(folder / "b1.mp4"), bytes);
  EXPECT_EQ(read_text(folder / "a2.mp4"), bytes);
  EXPECT_EQ(read_text(folder / "b2.mp4"), bytes);
  ASSERT_EQ(run_in(folder, {"--frames", "9", "--seed", "6", "-o", "other.mp4"}).exit_code, 0);
  EXPECT_NE(read_video(folder / "other.mp4"), read_video(folder / "a1.mp4"));
}

TEST(Generate, EverySettingThatCountsChangesTheFrames) {
  const TemporaryFolder folder;
  std::set<std::vector<std::vector<std::uint8_t>>> seen;
  const std::vector<std::vector<std::string>> changes = {
      {},
      {"--prompt", "a blue star"},
      {"--negative-prompt", "blurred"},
      {"--steps", "4"},
      {"--cfg", "1"},
      {"--guidance-scale", "6"},
      {"--shift", "8"},
      {"--sampler", "euler"},
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    std::vector<std::string> flags = changes[i];
    const std::string name = std::to_string(i) + ".y4m";
    flags.insert(flags.end(), {"-o", name});
    ASSERT_EQ(run_in(folder, flags).exit_code, 0) << i;
    EXPECT_TRUE(seen.insert(read_video(folder / name)).second)
        << (changes[i].empty() ? "nothing" : changes[i][0]) << " changed nothing";
  }
}

TEST(Generate, LosslessOutputsHoldTheSameFrames) {
  const TemporaryFolder folder;
  ASSERT_EQ(run_in(folder, {"-o", "clip.y4m", "--frames-dir", "frames"}).exit_code, 0);
  EXPECT_THAT(folder.names(), UnorderedElementsAre("clip.y4m", "clip.y4m.json", "frames"));
  const auto frames = read_video(folder / "clip.y4m");
  ASSERT_EQ(frames.size(), 5U);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(read_video(folder / ("frames/frame_0000" + std::to_string(i) + ".png")).at(0),
              frames[i])
        << i;
  }
  const json probe = ffprobe(folder / "clip.y4m");
  EXPECT_EQ(probe.at("streams").at(0).at("nb_read_frames"), "5");
  EXPECT_EQ(probe.at("streams").at(0).at("pix_fmt"), "yuv444p10le");
  EXPECT_EQ(probe.at("streams").at(0).at("avg_frame_rate"), "8/1");
  // The frames alone, then: no video besides them.
  ASSERT_EQ(run_in(folder, {"--frames-dir", "only"}).exit_code, 0);
  EXPECT_THAT(folder.names(), UnorderedElementsAre("clip.y4m", "clip.y4m.json", "frames", "only"));
}

TEST(Generate, FromRepeatsTheFrames) {
  const TemporaryFolder folder;
  ASSERT_EQ(run_in(folder, {"--size", "48x64", "--frames", "9", "--steps", "2", "--sampler",
                            "euler", "--cfg", "1.5", "--seed", "77", "--fps", "10", "-o", "a.mp4",
                            "--frames-dir", "frames"})
                .exit_code,
            0);
  const std::string model = testing::tiny_model().string();
  ProgramOptions options;
  options.folder = folder.path();
  const auto repeat = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"--model", model, "--progress", "none", "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments, options);
  };
  ASSERT_EQ(repeat({"--from", "a.mp4", "-o", "b.mp4", "--frames-dir", "again"}).exit_code, 0);
  EXPECT_EQ(read_text(folder / "b.mp4"), read_text(folder / "a.mp4"));
  for (int i = 0; i < 9; ++i) {
    const std::string name = "frame_0000" + std::to_string(i) + ".png";
    EXPECT_EQ(read_text(folder / ("again/" + name)), read_text(folder / ("frames/" + name)));
  }
  // PNG frames and y4m say it beside them.
  ASSERT_EQ(repeat({"--from", "frames/settings.json", "-o", "c.y4m"}).exit_code, 0);
  ASSERT_EQ(repeat({"--from", "c.y4m", "-o", "d.y4m"}).exit_code, 0);
  EXPECT_EQ(read_text(folder / "d.y4m"), read_text(folder / "c.y4m"));
  EXPECT_EQ(read_video(folder / "c.y4m").at(8),
            read_video(folder / "frames/frame_00008.png").at(0));
  // Flags override it; --seconds silences its frames.
  ASSERT_EQ(
      repeat({"--from", "a.mp4", "--seed", "78", "--seconds", "0.5", "-o", "e.mp4"}).exit_code, 0);
  EXPECT_EQ(settings_of(folder / "e.mp4").at("seed"), 78);
  EXPECT_EQ(settings_of(folder / "e.mp4").at("frames"), 5);
  EXPECT_EQ(settings_of(folder / "e.mp4").at("sampler"), "euler");
}

TEST(Generate, FlagsOverrideConfigAndConfigOverridesTheModel) {
  const TemporaryFolder folder;
  write_text(folder / "run.json", R"({"prompt": "from the file", "steps": 2, "size": "48x48",
                                       "seed": 9, "cfg": 1, "output": "clip.mp4",
                                       "overwrite": true, "progress": "none", "threads": 1})");
  ProgramOptions options;
  options.folder = folder.path();
  const ProgramResult result = run_program(
      {"--model", testing::tiny_model().string(), "--config", "run.json", "--steps", "1"}, options);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json settings = settings_of(folder / "clip.mp4");
  EXPECT_EQ(settings.at("prompt"), "from the file");
  EXPECT_EQ(settings.at("steps"), 1);
  EXPECT_EQ(settings.at("size"), "48x48");
  EXPECT_EQ(settings.at("seed"), 9);
  EXPECT_EQ(settings.at("frames"), 5);
}

TEST(Generate, NamesTheVideoAfterPromptAndSeedAndNeverOverwrites) {
  const TemporaryFolder folder;
  ProgramOptions options;
  options.folder = folder.path();
  for (int i = 0; i < 2; ++i) {
    const ProgramResult result =
        run_in(folder, {"--prompt", "Ein Bär, groß!", "--steps", "1", "--seed", "12"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  EXPECT_THAT(folder.names(),
              UnorderedElementsAre("ein-bär-groß-seed12.mp4", "ein-bär-groß-seed12-2.mp4"));
}

TEST(Generate, DrawsAndPrintsASeed) {
  const TemporaryFolder folder;
  ProgramOptions options;
  options.folder = folder.path();
  std::set<std::string> seeds;
  for (const char* name : {"a.mp4", "b.mp4"}) {
    const ProgramResult result =
        run_program({"--model", testing::tiny_model().string(), "-p", "x", "--steps", "1",
                     "--threads", "1", "--progress", "none", "-o", name},
                    options);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr(std::string("video: ") + name));
    EXPECT_THAT(result.out, HasSubstr("denoise "));
    const std::string seed = settings_of(folder / name).at("seed").dump();
    EXPECT_THAT(result.out, HasSubstr("seed:  " + seed + "\n"));
    seeds.insert(seed);
  }
  EXPECT_EQ(seeds.size(), 2U);
}

}  // namespace
}  // namespace psagen
