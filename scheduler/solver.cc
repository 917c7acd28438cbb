// Names of the solvers, the schedule each is published with, and the checks they rely on.
#include "scheduler/solver.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>

#include "kernels/core/error.h"
#include "scheduler/dpmpp.h"
#include "scheduler/euler.h"
#include "scheduler/unipc.h"

namespace psagen::scheduler {
namespace {

struct SolverName {
  const char* name;
  SolverKind kind;
};

// The first name of a kind is the one shown.
constexpr std::array<SolverName, 9> kSolverNames = {{
    {"unipc", SolverKind::kUniPC},
    {"uni-pc", SolverKind::kUniPC},
    {"uni_pc", SolverKind::kUniPC},
    {"dpm++", SolverKind::kDpmpp2M},
    {"dpm++-2m", SolverKind::kDpmpp2M},
    {"dpmpp", SolverKind::kDpmpp2M},
    {"dpmpp-2m", SolverKind::kDpmpp2M},
    {"dpmpp_2m", SolverKind::kDpmpp2M},
    {"euler", SolverKind::kEuler},
}};

// Letters inserted, deleted or replaced to turn one word into the other.
std::size_t edit_distance(const std::string& from, const std::string& to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// The schedule Diffusers uses with each solver, so that a Diffusers checkpoint gives the video its
// own pipeline would: UniPC from 0.37, DPM-Solver++ with flow sigmas, FlowMatchEuler with shift.
ScheduleKind published_schedule(SolverKind kind) {
  switch (kind) {
    case SolverKind::kUniPC:
      return ScheduleKind::kDiffusersUniPC;
    case SolverKind::kDpmpp2M:
      return ScheduleKind::kWanUniPC;
    case SolverKind::kEuler:
      return ScheduleKind::kDiffusersEuler;
  }
  throw Error(ErrorCode::kInternal, "unknown solver kind");
}

// A solver divides by sigma and by differences of lambda.
void check_schedule(const NoiseSchedule& schedule) {
  const std::vector<double>& sigmas = schedule.sigmas;
  PSAGEN_CHECK(!schedule.timesteps.empty() && sigmas.size() == schedule.timesteps.size() + 1,
               ErrorCode::kInvalidArgument, "a schedule has ", sigmas.size(), " sigmas and ",
               schedule.timesteps.size(), " timesteps, wanted one sigma more than timesteps");
  PSAGEN_CHECK(sigmas.front() <= 1.0 && sigmas.back() == 0.0, ErrorCode::kInvalidArgument,
               "sigmas run from ", sigmas.front(), " to ", sigmas.back(),
               ", wanted at most 1 to exactly 0");
  for (std::size_t i = 1; i < sigmas.size(); ++i)
    PSAGEN_CHECK(sigmas[i] < sigmas[i - 1], ErrorCode::kInvalidArgument,
                 "sigmas do not fall from step ", i - 1, " (", sigmas[i - 1], ") to the next (",
                 sigmas[i], "): the shift is too large or too small for ",
                 schedule.timesteps.size(), " steps");
}

}  // namespace

SolverKind parse_solver(const std::string& name) {
  const std::string wanted = lower_case(name);
  const SolverName* nearest = &kSolverNames[0];
  for (const SolverName& candidate : kSolverNames) {
    if (wanted == candidate.name) return candidate.kind;
    if (edit_distance(wanted, candidate.name) < edit_distance(wanted, nearest->name))
      nearest = &candidate;
  }
  throw Error(ErrorCode::kInvalidArgument,
              concat("no solver is called '", name, "'; did you mean '", nearest->name,
                     "'? Known: unipc, dpm++, euler"));
}

const char* solver_name(SolverKind kind) {
  for (const SolverName& entry : kSolverNames)
    if (entry.kind == kind) return entry.name;
  throw Error(ErrorCode::kInternal, "unknown solver kind");
}

std::vector<StepPlan> plan_steps(SolverKind kind, std::int64_t num_steps, double shift) {
  return plan_steps(kind, make_schedule(published_schedule(kind), num_steps, shift));
}

std::vector<StepPlan> plan_steps(SolverKind kind, const NoiseSchedule& schedule) {
  check_schedule(schedule);
  switch (kind) {
    case SolverKind::kUniPC:
      return plan_unipc(schedule);
    case SolverKind::kDpmpp2M:
      return plan_dpmpp_2m(schedule);
    case SolverKind::kEuler:
      return plan_euler(schedule);
  }
  throw Error(ErrorCode::kInternal, "unknown solver kind");
}

}  // namespace psagen::scheduler
