#include "kernels/core/row_view.h"

#include <gtest/gtest.h>

namespace psagen {
namespace {

class RowViewTest : public testing::Test {
 protected:
  CpuAllocator allocator_;
};

TEST_F(RowViewTest, ContiguousTensorsHaveEvenRows) {
  const Tensor x(allocator_, DType::kF32, {2, 3, 4, 5});
  ASSERT_TRUE(has_even_rows(x.view()));
  const auto rows = row_view<float>(x.view());
  EXPECT_EQ(rows.batches, 2);
  EXPECT_EQ(rows.rows, 12);
  EXPECT_EQ(rows.width, 5);
  EXPECT_EQ(rows.row(1, 7) - rows.data, 60 + 35);
  EXPECT_EQ(rows.row(19), rows.row(1, 7));
  const auto joined = join_batches(rows);
  EXPECT_EQ(joined.batches, 1);
  EXPECT_EQ(joined.rows, 24);
  EXPECT_EQ(joined.row(19), rows.row(19));
}

TEST_F(RowViewTest, PartsOfRowsAndOfBatches) {
  const Tensor x(allocator_, DType::kF32, {2, 6, 10});
  const ConstTensorView part = x.view().slice(1, 2, 5).slice(2, 3, 7);
  ASSERT_TRUE(has_even_rows(part));
  const auto rows = row_view<float>(part);
  EXPECT_EQ(rows.row(1, 2) - x.view().data<float>(), 60 + 4 * 10 + 3);
  EXPECT_EQ(join_batches(rows).batches, 2);  // three rows of six do not follow on
  const auto one_row_each = row_view<float>(x.view().slice(1, 4, 5));
  EXPECT_EQ(join_batches(one_row_each).row(1) - one_row_each.data, 60);
}

TEST_F(RowViewTest, OneAndTwoDimensions) {
  const Tensor x(allocator_, DType::kF32, {7});
  EXPECT_EQ(row_view<float>(x.view()).num_rows(), 1);
  const Tensor y(allocator_, DType::kF32, {3, 8});
  const auto rows = row_view<float>(y.view().slice(1, 0, 2));
  EXPECT_EQ(rows.batches, 3);
  EXPECT_EQ(rows.rows, 1);
  EXPECT_EQ(rows.row(2) - rows.data, 16);
}

TEST_F(RowViewTest, RefusesScatteredRows) {
  const Tensor x(allocator_, DType::kF32, {2, 4, 6, 8});
  EXPECT_FALSE(has_even_rows(x.view().slice(2, 0, 3)));  // gaps inside a batch
  const ConstTensorView transposed(x.view().bytes(), DType::kF32, {8, 6}, {1, 8}, {});
  EXPECT_FALSE(has_even_rows(transposed));
  EXPECT_FALSE(has_even_rows(ConstTensorView()));
}

}  // namespace
}  // namespace psagen
