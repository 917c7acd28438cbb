#include "kernels/core/tensor.h"

#include <gtest/gtest.h>

#include <numeric>

namespace psagen {
namespace {

class TensorTest : public testing::Test {
 protected:
  // 0, 1, 2, ... in row-major order.
  Tensor counting(Shape shape) {
    Tensor tensor(allocator_, DType::kF32, shape);
    float* values = tensor.view().data<float>();
    std::iota(values, values + shape.num_elements(), 0.0f);
    return tensor;
  }

  CpuAllocator allocator_;
};

TEST_F(TensorTest, OwnsAndGivesBackItsBytes) {
  {
    Tensor a(allocator_, DType::kF32, {3, 5});
    EXPECT_EQ(allocator_.bytes_in_use(), 60u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.view().bytes()) % 64, 0u);
    Tensor b = std::move(a);
    EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): moved-from tensors are empty
    EXPECT_TRUE(b);
    Tensor c(allocator_, DType::kBF16, {10});
    EXPECT_EQ(allocator_.bytes_in_use(), 80u);
    c = std::move(b);
    EXPECT_EQ(c.shape(), (Shape{3, 5}));
  }
  EXPECT_EQ(allocator_.bytes_in_use(), 0u);
  EXPECT_EQ(allocator_.peak_bytes(), 80u);
}

TEST_F(TensorTest, AnEmptyViewIsNotGiven) {
  EXPECT_FALSE(static_cast<bool>(ConstTensorView()));
  EXPECT_FALSE(Tensor());
}

TEST_F(TensorTest, ContiguousStrides) {
  const Tensor x = counting({2, 3, 4});
  EXPECT_EQ(x.view().stride(0), 12);
  EXPECT_EQ(x.view().stride(1), 4);
  EXPECT_EQ(x.view().stride(-1), 1);
  EXPECT_TRUE(x.view().is_contiguous());
}

TEST_F(TensorTest, SliceKeepsStridesAndMovesThePointer) {
  const Tensor x = counting({2, 3, 4});
  const ConstTensorView part = x.view().slice(1, 1, 3).slice(2, 2, 3);
  EXPECT_EQ(part.shape(), (Shape{2, 2, 1}));
  EXPECT_EQ(*part.data<float>(), 6.0f);
  EXPECT_EQ(part.data<float>()[part.stride(0) + part.stride(1)], 22.0f);
  EXPECT_FALSE(part.is_contiguous());
  EXPECT_TRUE(x.view().slice(0, 1, 2).is_contiguous());
}

TEST_F(TensorTest, SliceOfSixteenBitValuesCountsElements) {
  Tensor x(allocator_, DType::kF16, {8});
  EXPECT_EQ(x.view().slice(0, 3, 5).bytes() - x.view().bytes(), 6);
}

TEST_F(TensorTest, SliceOutsideThrows) {
  const Tensor x = counting({2, 3});
  EXPECT_THROW(x.view().slice(1, 2, 4), Error);
  EXPECT_THROW(x.view().slice(1, -1, 2), Error);
  EXPECT_THROW(x.view().slice(1, 2, 1), Error);
  EXPECT_EQ(x.view().slice(1, 3, 3).num_elements(), 0);
}

TEST_F(TensorTest, ReshapeNeedsContiguousBytesAndTheSameCount) {
  const Tensor x = counting({2, 6});
  EXPECT_EQ(x.view().reshape({3, 4}).stride(0), 4);
  EXPECT_THROW(x.view().reshape({3, 5}), Error);
  EXPECT_THROW(x.view().slice(1, 0, 3).reshape({6}), Error);
}

TEST_F(TensorTest, SplitLastGivesHeads) {
  const Tensor x = counting({2, 6});
  const ConstTensorView heads = x.view().split_last(3, 2);
  EXPECT_EQ(heads.shape(), (Shape{2, 3, 2}));
  EXPECT_EQ(heads.data<float>()[heads.stride(0) + 2 * heads.stride(1) + heads.stride(2)], 11.0f);
  EXPECT_THROW(x.view().split_last(4, 2), Error);
}

TEST_F(TensorTest, DataChecksTheType) {
  const Tensor x = counting({2});
  EXPECT_THROW(x.view().data<bf16>(), Error);
  EXPECT_THROW(x.view().data<std::int32_t>(), Error);
}

}  // namespace
}  // namespace psagen
