#include "kernels/psa/block_mask.h"

#include <gmock/gmock.h>

#include "kernels/core/error.h"

namespace psagen::kernels {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(BlockMask, ListsBlocksOfEachLevelAscending) {
  BlockMask mask(1, 1, 2, 6);
  const std::vector<std::uint8_t> levels = {8, 1, 0, 8, 2, 1};
  mask.set_row(1, levels);
  EXPECT_THAT(mask.blocks(1, 0), ElementsAre(1, 5));
  EXPECT_THAT(mask.blocks(1, 1), ElementsAre(4));
  EXPECT_THAT(mask.blocks(1, 2), IsEmpty());
  EXPECT_THAT(mask.blocks(1, 3), ElementsAre(0, 3));
  EXPECT_THAT(mask.blocks(0, 0), IsEmpty());
  std::vector<std::uint8_t> read(6, 77);
  mask.get_row(1, read);
  EXPECT_EQ(read, levels);
}

TEST(BlockMask, SettingARowAgainReplacesIt) {
  BlockMask mask(1, 1, 1, 4);
  mask.set_row(0, std::vector<std::uint8_t>{1, 1, 1, 1});
  mask.set_row(0, std::vector<std::uint8_t>{0, 0, 4, 0});
  EXPECT_EQ(mask.count(0, 0), 0);
  EXPECT_THAT(mask.blocks(0, 2), ElementsAre(2));
}

TEST(BlockMask, RowsCountOverBatchHeadAndQueryBlock) {
  const BlockMask mask(2, 3, 5, 7);
  EXPECT_EQ(mask.num_rows(), 30);
  EXPECT_EQ(mask.row(1, 2, 4), 29);
  EXPECT_EQ(mask.row(0, 1, 0), 5);
}

TEST(BlockMask, NominalDensityIsTheHandCount) {
  BlockMask mask(1, 1, 2, 8);
  mask.set_row(0, std::vector<std::uint8_t>{1, 2, 4, 8, 0, 0, 0, 0});  // 1 + 1/2 + 1/4 + 1/8
  mask.set_row(1, std::vector<std::uint8_t>{1, 1, 0, 0, 0, 0, 0, 8});  // 2 + 1/8
  EXPECT_EQ(mask.nominal_density(), (1.875 + 2.125) / 16.0);
}

TEST(BlockMask, CheckNamesARowWithoutBlocks) {
  BlockMask mask(1, 1, 2, 3);
  mask.set_row(0, std::vector<std::uint8_t>{0, 1, 0});
  EXPECT_NO_THROW(mask.check(false));
  try {
    mask.check();
    FAIL() << "an empty row passed";
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "block mask row 1 keeps no block");
  }
}

TEST(BlockMask, RefusesMoreBlocksThanAnIndexHolds) {
  EXPECT_NO_THROW(BlockMask(1, 1, 1, 65535));
  EXPECT_THROW(BlockMask(1, 1, 1, 65536), Error);
}

}  // namespace
}  // namespace psagen::kernels
