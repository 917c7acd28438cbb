#!/usr/bin/env bash
# Builds the fuzz targets with clang, AddressSanitizer and UndefinedBehaviorSanitizer, and runs each.
#
#   scripts/run_fuzz.sh [SECONDS] [TARGET ...]     60 seconds and all targets by default
#
# A target starts from the seeds in tests/data/fuzz and keeps what it learns in build/fuzz/corpus. An
# input that breaks something is left in build/fuzz/findings and becomes a case of a unit test.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
seconds=${1:-60}
(( $# > 0 )) && shift
build=$root/build/fuzz

targets=("$@")
if (( ${#targets[@]} == 0 )); then
  for source in "$root"/tests/fuzz/*_fuzz.cc; do targets+=("$(basename "$source" _fuzz.cc)"); done
fi

"$root/scripts/build.sh" fuzz --target "${targets[@]/%/_fuzz}"

export ASAN_OPTIONS="allocator_may_return_null=0 detect_leaks=1 ${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1 halt_on_error=1 ${UBSAN_OPTIONS:-}"
mkdir -p "$build/findings"
failed=0
for target in "${targets[@]}"; do
  corpus=$build/corpus/$target
  seeds=$root/tests/data/fuzz/$target
  mkdir -p "$corpus"
  flags=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1
    -artifact_prefix="$build/findings/$target-")
  [[ -f $seeds.dict ]] && flags+=(-dict="$seeds.dict")
  echo "run_fuzz.sh: $target for $seconds s"
  if "$build/tests/fuzz/${target}_fuzz" "${flags[@]}" "$corpus" "$seeds" \
    >"$build/$target.log" 2>&1; then
    grep -E 'number_of_executed_units|new_units_added' "$build/$target.log"
  else
    failed=1
    tail -n 40 "$build/$target.log"
    echo "run_fuzz.sh: $target found something; the input is in $build/findings" >&2
  fi
done
exit $failed
