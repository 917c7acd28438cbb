#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests.
#
#   scripts/test.sh [flags of ctest]     for example: scripts/test.sh -L unit
#
# Tests that need a GPU are skipped where there is none. The CUDA back end is compiled where its compiler
# is there; with PSAGEN_CUDA=ON it has to be.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

"$root/scripts/setup.sh" --tests
"$root/scripts/build.sh" cpu-release -DPSAGEN_TESTS=ON -DPSAGEN_CUDA="${PSAGEN_CUDA:-AUTO}"
cd "$root"
ctest --preset cpu-release "$@"
echo "psa-gen: the tests passed."
