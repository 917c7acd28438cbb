#include "engine/pipeline/open_context.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace psagen::engine {
namespace {

using testing::expect_error;

TEST(ParseDevice, KnowsTheCpuAndEveryGpu) {
  EXPECT_TRUE(parse_device("auto").is_auto);
  EXPECT_FALSE(parse_device("cpu").is_auto);
  EXPECT_EQ(parse_device("cpu").device, Device{});
  EXPECT_EQ(parse_device("cuda").device, (Device{DeviceKind::kCuda, 0}));
  EXPECT_EQ(parse_device("cuda:3").device, (Device{DeviceKind::kCuda, 3}));
  EXPECT_FALSE(parse_device("cuda:3").is_auto);
}

TEST(ParseDevice, RefusesEverythingElse) {
  for (const char* text :
       {"", "gpu", "cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda:99999999999", "CPU"})
    expect_error(ErrorCode::kInvalidArgument, {concat("unknown device '", text, "'")},
                 [text] { parse_device(text); });
}

TEST(ParseComputeDtype, NamesWhatItDoesNotKnow) {
  EXPECT_EQ(parse_compute_dtype("f32"), DType::kF32);
  EXPECT_EQ(parse_compute_dtype("bf16"), DType::kBF16);
  EXPECT_EQ(parse_compute_dtype("f16"), DType::kF16);
  expect_error(ErrorCode::kInvalidArgument, {"'fp16'", "f16"}, [] { parse_compute_dtype("fp16"); });
}

TEST(OpenContext, TheCpuComputesInFloat32Only) {
  const DeviceChoice cpu = parse_device("cpu");
  const std::unique_ptr<Context> context = open_context(cpu, std::nullopt, 1);
  EXPECT_EQ(context->compute_dtype(), DType::kF32);
  EXPECT_EQ(device_description(*context), "cpu");
  expect_error(ErrorCode::kUnsupported, {"BF16", "F32"},
               [&cpu] { open_context(cpu, DType::kBF16, 1); });
}

TEST(OpenContext, AGpuThatIsNotThereIsAnErrorAndNothingElse) {
  expect_error(ErrorCode::kDevice, {"GPU"}, [] { open_context(parse_device("cuda:99"), {}, 1); });
}

TEST(OpenContext, AutoAlwaysFindsADevice) {
  std::string why_no_gpu;
  const auto context = open_context(parse_device("auto"), std::nullopt, 1, nullptr, &why_no_gpu);
  ASSERT_NE(context, nullptr);
  EXPECT_EQ(why_no_gpu.empty(), context->device().kind == DeviceKind::kCuda) << why_no_gpu;
}

TEST(FindGpu, IsNullForOneThatIsNotThere) {
  EXPECT_EQ(find_gpu({.device = {DeviceKind::kCuda, 99}}), nullptr);
}

}  // namespace
}  // namespace psagen::engine
