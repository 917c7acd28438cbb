#include "app/console.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>

#include "tests/support/expect_error.h"

namespace psagen::app {
namespace {

using psagen::testing::expect_error;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Captured {
 public:
  Captured() : file_(std::tmpfile()) {}
  ~Captured() { std::fclose(file_); }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;
  std::FILE* file() const { return file_; }
  std::string text() const {
    std::fflush(file_);
    std::rewind(file_);
    std::string result;
    std::array<char, 4096> bytes;
    while (const std::size_t count = std::fread(bytes.data(), 1, bytes.size(), file_)) {
      result.append(bytes.data(), count);
    }
    return result;
  }

 private:
  std::FILE* file_;
};

void run_stage(Console& console) {
  for (int done = 0; done <= 4; ++done) {
    console.progress({engine::Stage::kDenoise, done, 4, 3.0 * done});
  }
}

TEST(Console, LinesComeEveryFewSecondsAndAtTheEnd) {
  const Captured out;
  const Captured err;
  Console console(out.file(), err.file());
  console.set_style(ProgressStyle::kLines);
  run_stage(console);
  EXPECT_EQ(err.text(),
            "denoise: 2/4, 6.0 s, about 6.0 s left\n"
            "denoise: 4/4, 12.0 s\n");
  EXPECT_THAT(out.text(), IsEmpty());
}

TEST(Console, BarEndsBeforeAnythingElseIsPrinted) {
  const Captured out;
  const Captured err;
  Console console(out.file(), err.file());
  console.set_style(ProgressStyle::kBar);
  console.progress({engine::Stage::kDenoise, 1, 4, 3.0});
  console.warning("watch out");
  console.progress({engine::Stage::kDenoise, 4, 4, 12.0});
  console.error("two\nlines");
  const std::string text = err.text();
  EXPECT_THAT(text, HasSubstr("\r"));
  EXPECT_THAT(text, HasSubstr("1/4, 3.0 s, about 9.0 s left\x1b[K\npsa-gen: warning: watch out\n"));
  EXPECT_THAT(text, HasSubstr("[####"));
  EXPECT_TRUE(text.ends_with("\npsa-gen: error: two lines\n")) << text;
}

TEST(Console, JsonGoesToStandardOutput) {
  const Captured out;
  const Captured err;
  Console console(out.file(), err.file());
  console.set_style(ProgressStyle::kJson);
  console.note("a \"note\"");
  console.warning("w");
  console.progress({engine::Stage::kLoad, 1, 2, 0.5});
  console.finished({{"a.mp4"}, 18446744073709551615ULL, {{engine::Stage::kLoad, 0.5, 7}}, 1.5});
  EXPECT_EQ(
      out.text(),
      R"({"event":"note","text":"a \"note\""})"
      "\n"
      R"({"event":"warning","text":"w"})"
      "\n"
      R"({"event":"progress","stage":"load","done":1,"total":2,"seconds":0.5,"seconds_left":0.5})"
      "\n"
      R"({"event":"finished","outputs":["a.mp4"],"seed":18446744073709551615,)"
      R"("stages":[{"stage":"load","seconds":0.5,"peak_bytes":7}],"seconds":1.5})"
      "\n");
  EXPECT_THAT(err.text(), IsEmpty());
}

TEST(Console, NoneKeepsResultsWarningsAndErrors) {
  const Captured out;
  const Captured err;
  Console console(out.file(), err.file());
  console.set_style(ProgressStyle::kNone);
  console.note("note");
  run_stage(console);
  console.warning("w");
  console.finished({{"a.mp4", "frames"}, 7, {{engine::Stage::kLoad, 0.5, 7}}, 75.0});
  EXPECT_EQ(err.text(), "psa-gen: warning: w\n");
  EXPECT_EQ(out.text(),
            "video: a.mp4\nvideo: frames\nseed:  7\ntime:  load 0.5 s, total 1:15 min\n");
}

TEST(Console, Durations) {
  EXPECT_EQ(duration_text(0.04), "0.0 s");
  EXPECT_EQ(duration_text(59.94), "59.9 s");
  EXPECT_EQ(duration_text(59.96), "1:00 min");
  EXPECT_EQ(duration_text(3599.4), "59:59 min");
  EXPECT_EQ(duration_text(3725.0), "1:02:05 h");
}

TEST(Console, KindsOfProgress) {
  EXPECT_EQ(parse_progress("json"), ProgressStyle::kJson);
  EXPECT_EQ(parse_progress("lines"), ProgressStyle::kLines);
  EXPECT_EQ(parse_progress("none"), ProgressStyle::kNone);
  expect_error(ErrorCode::kInvalidArgument, {"jsno", "json"}, [] { parse_progress("jsno"); });
}

}  // namespace
}  // namespace psagen::app
