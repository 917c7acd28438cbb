#!/usr/bin/env bash
# Builds and tests under the sanitizers: address + undefined behaviour, then threads.
#
#   scripts/run_sanitizers.sh [asan|tsan] [flags of ctest]
#
# Both by default. Instrumented kernels are many times slower, so the suites are those that are
# quick; flags of ctest choose others. The memory meter's test is left out: the address sanitizer
# holds freed memory back, which is just what that test looks for.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

which=(asan tsan)
case ${1:-} in
  asan | tsan) which=("$1"); shift ;;
esac
selection=("$@")
(( $# > 0 )) || selection=(--label-regex 'unit|parity|property' --exclude-regex memory_meter)

for sanitizer in "${which[@]}"; do
  if [[ $sanitizer == tsan ]] && ! command -v clang++ >/dev/null 2>&1; then
    echo "run_sanitizers.sh: the thread sanitizer wants clang++ and its OpenMP (clang, libomp-dev)" >&2
    exit 1
  fi
  "$root/scripts/build.sh" "cpu-$sanitizer" -DPSAGEN_TESTS=ON
  (
    cd "$root"
    # Libraries of the system are not instrumented: what they do among themselves is not judged.
    export TSAN_OPTIONS="ignore_noninstrumented_modules=1 ${TSAN_OPTIONS:-}"
    export UBSAN_OPTIONS="print_stacktrace=1 ${UBSAN_OPTIONS:-}"
    ctest --preset "cpu-$sanitizer" "${selection[@]}"
  )
done
