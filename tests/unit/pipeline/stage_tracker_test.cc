#include "engine/pipeline/stage_tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(StageTrackerTest, TellsStartEveryUnitAndEndOnce) {
  std::vector<std::pair<Stage, std::int64_t>> told;
  const ProgressCallback callback = [&told](const Progress& progress) {
    EXPECT_EQ(progress.total, 3);
    told.emplace_back(progress.stage, progress.done);
    return true;
  };
  StageTracker stages(callback);
  stages.begin(Stage::kDenoise, 3);
  stages.advance(1);
  stages.advance(3);
  stages.end();
  stages.begin(Stage::kDecode, 3);
  stages.end();
  EXPECT_THAT(told, ElementsAre(Pair(Stage::kDenoise, 0), Pair(Stage::kDenoise, 1),
                                Pair(Stage::kDenoise, 3), Pair(Stage::kDecode, 0),
                                Pair(Stage::kDecode, 3)));
  const std::vector<StageReport> reports = stages.take_reports();
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[0].stage, Stage::kDenoise);
  EXPECT_GT(reports[0].peak_bytes, std::size_t{1} << 20);
  EXPECT_GE(reports[1].seconds, 0.0);
}

TEST(StageTrackerTest, StopsWhereTheCallbackSaysSo) {
  const ProgressCallback callback = [](const Progress& progress) { return progress.done < 2; };
  StageTracker stages(callback);
  stages.begin(Stage::kDecode, 9);
  stages.advance(1);
  try {
    stages.advance(2);
    FAIL() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
    EXPECT_EQ(error.message(), "cancelled during stage 'decode' at 2 of 9");
  }
}

TEST(StageTrackerTest, ACallbackIsOptional) {
  const ProgressCallback none;
  StageTracker stages(none);
  stages.begin(Stage::kLoad, 1);
  stages.end();
  EXPECT_EQ(stages.take_reports().size(), 1u);
}

}  // namespace
}  // namespace psagen::engine
