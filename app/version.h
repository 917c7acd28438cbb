#pragma once

namespace psagen::app {

const char* program_version();  // "0.1.0"
const char* program_commit();  // short hash, with "-dirty" for changed files; "unknown" without git

}  // namespace psagen::app
