#!/usr/bin/env bash
# Configures a preset of CMakePresets.json and builds it in build/<preset>.
#
#   scripts/build.sh PRESET [-DNAME=VALUE ...] [--target NAME ...]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
preset=${1:?usage: build.sh PRESET [-DNAME=VALUE ...] [--target NAME ...]}
shift

definitions=()
while [[ ${1:-} == -D* ]]; do
  definitions+=("$1")
  shift
done

if command -v ccache >/dev/null 2>&1; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi

cd "$root"
log=$root/build/$preset/configure.log
mkdir -p "$(dirname "$log")"
echo "Configuring build/$preset"
if ! cmake --preset "$preset" "${definitions[@]}" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
echo "Building build/$preset"
cmake --build "build/$preset" "$@"
