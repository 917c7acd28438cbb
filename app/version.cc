#include "app/version.h"

#include "commit.h"  // written by app/write_commit.cmake at each build

namespace psagen::app {

const char* program_version() { return PSAGEN_VERSION; }
const char* program_commit() { return PSAGEN_COMMIT; }

}  // namespace psagen::app
