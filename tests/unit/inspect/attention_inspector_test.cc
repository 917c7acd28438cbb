// The inspector in runs of the tests' tiny model.
#include "engine/inspect/attention_inspector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "engine/pipeline/text_to_video.h"
#include "tests/support/expect_error.h"
#include "tests/support/host_runtime.h"

namespace psagen::engine {
namespace {

using testing::expect_error;

VideoRequest small_request(const std::vector<AttentionConfig>& tried) {
  VideoRequest request;
  request.prompt = "a red circle";
  request.negative_prompt = "a blue square";
  request.width = request.height = 160;
  request.num_frames = 9;  // 3 x 10 x 10 = 300 tokens
  request.num_steps = 4;
  request.guidance_scale = 3.0;
  request.attention = trajectory_attention({}, tried);
  return request;
}

AttentionConfig in_full() {
  AttentionConfig config = parse_attention("psa:fast");
  config.psa.level_bounds = {1.0, 1.0, 1.0, 1.0};
  return config;
}

std::vector<InspectedAttention> inspect(Context& context, const std::vector<AttentionConfig>& tried,
                                        const InspectedPlaces& places, std::int64_t num_steps) {
  TextToVideo pipeline(PSAGEN_SOURCE_DIR "/tests/data/tiny_model", context);
  AttentionInspector inspector(tried, places);
  const RunReport report = pipeline.probe_attention(small_request(tried), num_steps, inspector, {});
  EXPECT_EQ(std::ssize(report.steps), num_steps);
  for (const StepReport& step : report.steps) EXPECT_FALSE(step.sparse);
  return inspector.results();
}

TEST(AttentionInspector, LooksWhereItIsTold) {
  Context context;
  const std::vector<AttentionConfig> tried = {in_full(), parse_attention("psa:quality")};
  const InspectedPlaces places = {.steps = {0, 2},
                                  .layers = {1},
                                  .forward = 1,
                                  .head = InspectedHead{.step = 1, .layer = 0, .head = 0}};
  const std::vector<InspectedAttention> results = inspect(context, tried, places, 3);
  ASSERT_EQ(results.size(), 2u);
  for (const InspectedAttention& result : results) {
    ASSERT_EQ(result.places.size(), 2u);
    EXPECT_EQ(result.places[0].step, 0);
    EXPECT_EQ(result.places[1].step, 2);
    EXPECT_EQ(result.places[1].layer, 1);
    const PlaceResult mean = mean_of(result.places);
    EXPECT_DOUBLE_EQ(mean.relative_error,
                     (result.places[0].relative_error + result.places[1].relative_error) / 2);
    ASSERT_TRUE(result.head.has_value());
    const BlockMap& map = result.head->map;
    EXPECT_EQ(map.levels.size(), static_cast<std::size_t>(map.query_blocks * map.key_blocks));
    EXPECT_NEAR(std::accumulate(map.mass.begin(), map.mass.end(), 0.0), 1.0, 1e-12);
  }
  EXPECT_LE(mean_of(results[0].places).relative_error, 1e-6);
  EXPECT_LE(results[0].head->layer_error, 1e-6);
  EXPECT_EQ(results[0].head->nominal_density, 1.0);
  EXPECT_GT(mean_of(results[1].places).relative_error, 1e-4);
  EXPECT_GT(results[1].head->layer_error, 1e-4);
  EXPECT_LT(mean_of(results[1].places).nominal_density, 1.0);
}

TEST(AttentionInspector, FindsTheSameOnADevice) {
  const InspectedPlaces places = {.steps = {0}, .layers = {0, 1}, .forward = 0, .head = {}};
  const std::vector<AttentionConfig> tried = {parse_attention("psa:quality")};
  Context cpu;
  const std::unique_ptr<Context> device = testing::make_host_runtime_context(1);
  const PlaceResult wanted = mean_of(inspect(cpu, tried, places, 1)[0].places);
  const PlaceResult found = mean_of(inspect(*device, tried, places, 1)[0].places);
  EXPECT_NEAR(found.relative_error, wanted.relative_error, 1e-4);
  EXPECT_NEAR(found.nominal_density, wanted.nominal_density, 1e-6);
}

TEST(TrajectoryAttention, IsDenseInTheOrderOfWhatIsTried) {
  const AttentionConfig dense = parse_attention("dense");
  AttentionConfig raster = parse_attention("psa");
  raster.reorder_tokens = false;
  for (const AttentionConfig& tried : {parse_attention("psa"), raster}) {
    const AttentionConfig trajectory = trajectory_attention(dense, {tried});
    EXPECT_EQ(trajectory.spec, "dense");
    EXPECT_EQ(trajectory.reorder_tokens, tried.reorder_tokens);
    EXPECT_EQ(num_warmup_steps(trajectory, 20), 20);
  }
  EXPECT_EQ(trajectory_attention(parse_attention("psa:fast"), {parse_attention("psa")}).spec,
            "psa:fast");
}

TEST(TrajectoryAttention, RefusesWhatCannotBeCompared) {
  const AttentionConfig psa = parse_attention("psa");
  AttentionConfig raster = parse_attention("psa:fast");
  raster.reorder_tokens = false;
  expect_error(ErrorCode::kInvalidArgument, {"dense"}, [&] {
    trajectory_attention({}, {psa, parse_attention("dense")});
  });
  expect_error(ErrorCode::kInvalidArgument, {"psa:fast", "raster", "order"}, [&] {
    trajectory_attention({}, {psa, raster});
  });
  expect_error(ErrorCode::kInvalidArgument, {"psa:fast", "raster", "order"},
               [&] { trajectory_attention(raster, {psa}); });
}

}  // namespace
}  // namespace psagen::engine
