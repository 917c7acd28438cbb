#!/usr/bin/env bash
# What has to hold on a GPU, in a few minutes: every test of the label `gpu`, with twelve clips of the default
# model against those of the CPU, ten thousand random cases of sparse attention, and compute-sanitizer on small shapes.
#
#   scripts/gpu_tests.sh CUDA_PARITY_TEST PIPELINE_PARITY_TEST [LOGS]     of build/cuda-release/tests/parity
#
# The tests run in several processes, as most of their time is the double reference's on the CPU. Racecheck follows
# only the thread that arrives at a barrier of shared memory, not those that met it before; where a tile's place is used
# again it reports what is no race (kernels/cuda/psa/sparse_attention/README.md), so its shapes are the smallest.
# Exit code 1 where something failed, reported anything, or was cut short.
set -uo pipefail
usage="usage: gpu_tests.sh CUDA_PARITY_TEST PIPELINE_PARITY_TEST [LOGS]"
tests=$(readlink -f "${1:?$usage}")
clips=$(readlink -f "${2:?$usage}")
logs=${3:-$(mktemp -d)}
export PSAGEN_SOURCE=${PSAGEN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
mkdir -p "$logs"
sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
processes=5 limit=600
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}

names=() jobs=()
start() {  # NAME COMMAND...
  local name=$1
  shift
  timeout "$limit" "$@" > "$logs/$name.log" 2>&1 &
  names+=("$name") jobs+=($!)
}
failed=0
finish() {  # waits for all that were started
  local i
  for i in "${!jobs[@]}"; do
    local code=0
    wait "${jobs[$i]}" || code=$?
    local log="$logs/${names[$i]}.log"
    (( code == 0 )) || failed=1
    ! grep -q 'PASSED *\] 0 tests' "$log" || failed=1  # skipped: no GPU
    printf '%-12s rc %-3d %s\n' "${names[$i]}" "$code" \
      "$(grep -E 'PASSED|FAILED|ERROR SUMMARY|RACECHECK SUMMARY' "$log" | head -3 | tr '\n' ' ')"
  done
  names=() jobs=()
}

for ((i = 0; i < processes; ++i)); do
  start "label-$i" env GTEST_TOTAL_SHARDS=$processes GTEST_SHARD_INDEX="$i" "$tests"
done
start clips env PSAGEN_CLIPS=12 OMP_NUM_THREADS=6 "$clips"
for type in BF16 F16; do
  start "random-$type" env PSAGEN_RANDOM_CASES=5000 "$tests" --gtest_filter="*RandomCases/$type"
done
finish

check() {  # NAME TOOL FILTER
  start "$1" "$sanitizer" --tool "$2" --error-exitcode 1 "$tests" --gtest_filter="$3"
}
check mem-sparse memcheck '*SparseAttentionCuda*EveryLength*BF16:*EmptyRows*:*PendingRows*OtherHeads*BF16'
check mem-pooling memcheck '*PendingRows*AreThose*BF16:*PendingRows*EveryLevel*BF16:*NormPool*BF16:*PyramidCuda*BF16:*SelectionCuda.ImportanceAndLevels*BF16:*SelectionCuda.OneBlockFar*BF16'
check mem-dense memcheck '*/AttentionCuda.EverySize*:*/AttentionCuda.KeyLogWeights*:*NoKeyLeft*:*HalfQueries*:*/AttentionCuda.AnyScale*'
check mem-others memcheck '*CudaNormParity*BF16:*CudaElementwise*BF16:*CudaLinear*BF16:*Conv3d*BF16'
check race-sparse racecheck '*SparseAttentionCuda*EveryLength*BF16'
check race-pooling racecheck '*SelectionCuda.HeadsMayHaveBounds*BF16:*SelectionCuda.OneBlockFar*BF16:*PendingRows*OfAShort*BF16:*PendingRows*OtherHeads*BF16:*NormPool*MakesTheRows*BF16:*PyramidCuda*PartsAre*BF16'
check race-dense racecheck '*/AttentionCuda.EverySize*BF16:*/AttentionCuda.KeyLogWeights*BF16:*HalfQueries*BF16'
finish
(( failed == 0 )) && echo "gpu_tests.sh: all passed" || echo "gpu_tests.sh: FAILED, logs in $logs"
exit "$failed"
