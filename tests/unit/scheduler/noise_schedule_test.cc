// Published timestep and sigma tables (spec/wan 5.2, 5.6).
#include "scheduler/noise_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "kernels/core/error.h"

namespace psagen::scheduler {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Pointwise;

struct TimestepTable {
  std::int64_t num_steps;
  double shift;
  std::vector<double> timesteps;
};

const TimestepTable kPublishedTimesteps[] = {
    {50, 5.0, {999, 995, 991, 987, 982, 978, 973, 968, 963, 957, 952, 946, 940, 934, 927, 920, 913,
               906, 898, 890, 882, 873, 863, 854, 843, 833, 821, 809, 796, 783, 768, 753, 737, 720,
               701, 681, 660, 636, 611, 584, 555, 522, 487, 448, 405, 356, 302, 241, 172, 92}},
    {50, 8.0, {999, 997, 994, 991, 989, 986, 983, 979, 976, 973, 969, 965, 961, 957, 953, 948, 944,
               939, 934, 928, 922, 916, 910, 903, 896, 888, 880, 871, 862, 852, 841, 830, 817, 804,
               789, 773, 756, 737, 716, 692, 666, 636, 603, 565, 521, 470, 409, 337, 249, 140}},
    {40, 12.0, {999, 997, 995, 993, 990, 988, 985, 982, 979, 976, 972, 969, 965, 961,
                956, 952, 947, 941, 936, 929, 922, 915, 907, 898, 888, 877, 865, 852,
                837, 819, 799, 776, 749, 717, 678, 631, 571, 492, 386, 235}},
    {20, 5.0, {999, 989, 978, 965, 952, 937, 920, 902, 882, 859,
               833, 803, 768, 728, 681, 624, 555, 468, 356, 208}},
};

TEST(NoiseSchedule, WanUniPCGivesThePublishedTimesteps) {
  for (const TimestepTable& table : kPublishedTimesteps) {
    SCOPED_TRACE(concat("steps ", table.num_steps, ", shift ", table.shift));
    const NoiseSchedule schedule =
        make_schedule(ScheduleKind::kWanUniPC, table.num_steps, table.shift);
    EXPECT_THAT(schedule.timesteps, ElementsAreArray(table.timesteps));
  }
}

struct SigmaTable {
  ScheduleKind kind;
  std::int64_t num_steps;
  double shift;
  std::vector<double> first_sigmas;
  double tolerance;  // half a unit of the last printed digit
};

const SigmaTable kPublishedSigmas[] = {
    {ScheduleKind::kWanUniPC, 50, 5.0, {0.9997998, 0.9957324, 0.9915305, 0.9871874}, 5.1e-8},
    {ScheduleKind::kWanUniPC, 50, 8.0, {0.9998749, 0.9973285, 0.9946897, 0.9919534}, 5.1e-8},
    {ScheduleKind::kWanUniPC, 40, 12.0, {0.9999166, 0.9977826, 0.9955462}, 5.1e-8},
    {ScheduleKind::kWanUniPC,
     6,
     5.0,
     {.99979985, .96131641, .90884280, .83305538, .71397942, .49969989, 0.0},
     5.1e-9},
    {ScheduleKind::kDiffusersUniPC,
     6,
     5.0,
     {.99999899, .96158284, .90921485, .83361095, .71489727, .50149703, 0.0},
     5.1e-9},
    {ScheduleKind::kDiffusersUniPC,
     6,
     3.0,
     {.99999899, .93757033, .85732651, .75037479, .60071945, .37640449, 0.0},
     5.1e-9},
    {ScheduleKind::kLinear,
     6,
     5.0,
     {1.0, .96153843, .90909094, .83333331, .71428573, .5, 0.0},
     5.1e-9},
    {ScheduleKind::kDiffusersEuler,
     6,
     5.0,
     {1.0, .95266300, .88321251, .77143073, .56164986, .02441406, 0.0},
     1e-8},  // the table took sigma_min in float64, Diffusers has it in float32
};

TEST(NoiseSchedule, GivesThePublishedSigmas) {
  for (const SigmaTable& table : kPublishedSigmas) {
    SCOPED_TRACE(concat("kind ", static_cast<int>(table.kind), ", shift ", table.shift));
    std::vector<double> sigmas = make_schedule(table.kind, table.num_steps, table.shift).sigmas;
    EXPECT_EQ(sigmas.size(), static_cast<std::size_t>(table.num_steps) + 1);
    sigmas.resize(table.first_sigmas.size());
    EXPECT_THAT(sigmas, Pointwise(DoubleNear(table.tolerance), table.first_sigmas));
  }
}

TEST(NoiseSchedule, DiffusersUniPCGivesThePublishedTimesteps) {
  EXPECT_THAT(make_schedule(ScheduleKind::kDiffusersUniPC, 6, 3.0).timesteps,
              ElementsAreArray({999.0, 937.0, 857.0, 750.0, 600.0, 376.0}));
}

TEST(NoiseSchedule, EulerSchedulesKeepFractionalTimesteps) {
  EXPECT_THAT(make_schedule(ScheduleKind::kLinear, 4, 5.0).timesteps,
              Pointwise(DoubleNear(1e-4), {1000.0, 937.5, 833.333374, 625.0}));
}

TEST(NoiseSchedule, SigmasAreStoredAsFloat32) {
  for (const double sigma : make_schedule(ScheduleKind::kDiffusersUniPC, 50, 5.0).sigmas)
    EXPECT_EQ(sigma, static_cast<double>(static_cast<float>(sigma)));
}

TEST(NoiseSchedule, RefusesWhatMakesNoSense) {
  const auto message_of = [](std::int64_t num_steps, double shift) -> std::string {
    try {
      make_schedule(ScheduleKind::kLinear, num_steps, shift);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.message();
    }
    return "accepted";
  };
  EXPECT_THAT(message_of(0, 5.0), HasSubstr("steps is 0"));
  EXPECT_THAT(message_of(1001, 5.0), HasSubstr("steps is 1001"));
  EXPECT_THAT(message_of(10, 0.0), HasSubstr("shift is 0"));
  EXPECT_THAT(message_of(10, -1.0), HasSubstr("shift is -1"));
  EXPECT_THAT(message_of(10, std::numeric_limits<double>::quiet_NaN()), HasSubstr("shift is"));
  EXPECT_THAT(message_of(10, std::numeric_limits<double>::infinity()), HasSubstr("shift is inf"));
}

}  // namespace
}  // namespace psagen::scheduler
