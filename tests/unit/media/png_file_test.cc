#include "engine/media/png_file.h"

#include <gtest/gtest.h>

#include <numeric>

#include "engine/media/video_reader.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace psagen::engine {
namespace {

TEST(PngFile, HoldsTheImage) {
  const testing::TemporaryFolder folder;
  std::vector<std::uint8_t> rgb(3 * 7 * 5);
  std::iota(rgb.begin(), rgb.end(), std::uint8_t{100});
  const Frame frame = {.rgb = rgb, .width = 7, .height = 5};
  write_png(folder / "image.png", frame, false);
  EXPECT_EQ(read_video(folder / "image.png").at(0), rgb);
  testing::expect_error(ErrorCode::kInvalidArgument, {"image.png"},
                        [&] { write_png(folder / "image.png", frame, false); });
  rgb[0] = 0;
  write_png(folder / "image.png", frame, true);
  EXPECT_EQ(read_video(folder / "image.png").at(0), rgb);
  EXPECT_EQ(folder.names().size(), 1u);
}

}  // namespace
}  // namespace psagen::engine
