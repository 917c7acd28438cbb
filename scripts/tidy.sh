#!/usr/bin/env bash
# Runs the checks of .clang-tidy over the program's sources; minutes, so by hand and nightly.
#
#   scripts/tidy.sh [FILE ...]     without files: every source of app, engine, kernels, scheduler
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tidy=$(command -v clang-tidy-14 || command -v clang-tidy) ||
  { echo "tidy.sh: clang-tidy is wanted (Debian and Ubuntu: clang-tidy-14)" >&2; exit 1; }

# The compile commands come from a configured tree; nothing is built.
mkdir -p build/cpu-debug
cmake --preset cpu-debug -DPSAGEN_TESTS=OFF >build/cpu-debug/configure.log

files=("$@")
(( $# > 0 )) || mapfile -t files < <(git ls-files 'app/*.cc' 'engine/*.cc' 'kernels/*.cc' 'scheduler/*.cc')
# gcc's OpenMP flag is clang's as well; its warning flags are not.
printf '%s\0' "${files[@]}" |
  xargs -0 -n 1 -P "$(nproc)" "$tidy" --quiet -p build/cpu-debug --extra-arg=-Wno-unknown-warning-option
echo "tidy.sh: ${#files[@]} files are clean"
