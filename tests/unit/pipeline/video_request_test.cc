#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/pipeline/text_to_video.h"
#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

using ::testing::HasSubstr;

ModelConfig model() {
  ModelConfig model;
  model.transformer.rope_max_seq_len = 1024;
  model.transformer.num_layers = 30;
  model.transformer.num_attention_heads = 12;
  model.vae.dim_mult = {1, 2, 4, 4};
  model.vae.temporal_downsample = {false, true, true};
  return model;
}

VideoRequest valid() {
  VideoRequest request;
  request.prompt = "a cat";
  request.width = 832;
  request.height = 480;
  request.num_frames = 81;
  request.num_steps = 50;
  request.guidance_scale = 5.0;
  return request;
}

std::string message_of(const VideoRequest& request) {
  try {
    validate(request, model());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.message();
  }
  return "valid";
}

TEST(VideoRequestTest, TakesWhatTheModelWasMadeFor) { EXPECT_EQ(message_of(valid()), "valid"); }

TEST(VideoRequestTest, NamesTheNearestSize) {
  const std::vector<std::pair<std::int64_t, std::int64_t>> nearest = {
      {-5, 16}, {0, 16},    {1, 16},    {16, 16},       {23, 16},
      {24, 32}, {250, 256}, {265, 272}, {16385, 16384}, {100000000, 16384}};
  for (const auto& [found, wanted] : nearest) {
    for (const bool is_width : {true, false}) {
      VideoRequest request = valid();
      (is_width ? request.width : request.height) = found;
      if (found == wanted) {
        EXPECT_EQ(message_of(request), "valid");
        continue;
      }
      EXPECT_THAT(message_of(request), HasSubstr(is_width ? "width is " : "height is "));
      EXPECT_THAT(message_of(request), HasSubstr(concat(" is ", found, ",")));
      EXPECT_THAT(message_of(request), HasSubstr(concat("nearest is ", wanted)));
    }
  }
}

TEST(VideoRequestTest, NamesTheNearestFrameCount) {
  const std::vector<std::pair<std::int64_t, std::int64_t>> nearest = {
      {-1, 1},  {0, 1},   {1, 1},   {2, 1},       {3, 5},
      {80, 81}, {82, 81}, {83, 85}, {4093, 4093}, {5000, 4093}};
  for (const auto& [found, wanted] : nearest) {
    VideoRequest request = valid();
    request.num_frames = found;
    if (found == wanted) {
      EXPECT_EQ(message_of(request), "valid");
      continue;
    }
    EXPECT_THAT(message_of(request), HasSubstr(concat("num_frames is ", found, ",")));
    EXPECT_THAT(message_of(request), HasSubstr(concat("nearest is ", wanted)));
  }
}

TEST(VideoRequestTest, NamesTheFieldOfEveryOtherMistake) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  VideoRequest request = valid();
  request.prompt = " \t\n";
  EXPECT_THAT(message_of(request), HasSubstr("prompt"));
  for (const std::int64_t steps : {-1, 0, 1001}) {
    request = valid();
    request.num_steps = steps;
    EXPECT_THAT(message_of(request), HasSubstr(concat("num_steps is ", steps)));
  }
  for (const double scale : {-1.0, nan}) {
    request = valid();
    request.guidance_scale = scale;
    EXPECT_THAT(message_of(request), HasSubstr("guidance_scale"));
  }
  for (const double shift : {0.0, -3.0, nan, std::numeric_limits<double>::infinity()}) {
    request = valid();
    request.shift = shift;
    EXPECT_THAT(message_of(request), HasSubstr("shift"));
  }
  request = valid();
  request.attention.kind = AttentionKind::kPyramid;
  request.attention.psa.key_block = 48;
  EXPECT_THAT(message_of(request), HasSubstr("key_block"));
}

TEST(VideoRequestTest, OverridesNameLayersAndHeadsThatThereAre) {
  VideoRequest request = valid();
  request.attention.kind = AttentionKind::kPyramid;
  request.attention.overrides = {{.layers = {{0, 1}, {29, 30}}}};
  EXPECT_THAT(message_of(request), HasSubstr("\"overrides\" name layers up to 30"));
  request.attention.overrides = {{.heads = {{12, 12}}}};
  EXPECT_THAT(message_of(request), HasSubstr("heads up to 12"));
  request.attention.overrides = {{.layers = {{0, 29}}, .heads = {{11, 11}}, .steps = {{900, 999}}}};
  EXPECT_EQ(message_of(request), "valid");
}

}  // namespace
}  // namespace psagen::engine
