#!/usr/bin/env bash
# From a fresh clone to a video: installs what is missing, builds psa-gen and runs it.
#
#   scripts/quickstart.sh [flags of psa-gen]
#
# Without a prompt among the flags it takes one that suits the default model.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$root/build/cpu-release/app/psa-gen

"$root/scripts/setup.sh"
"$root/scripts/build.sh" cpu-release -DPSAGEN_TESTS=OFF --target psa-gen

has_prompt=no
has_output=no
for flag in "$@"; do
  case $flag in
    info | synth | help | -h | --help | --version) has_prompt=yes has_output=yes ;;
    -p | --prompt | --prompt=* | --prompt-file | --prompt-file=* | --from | --from=* | --config | --config=*)
      has_prompt=yes ;;
    -o | --output | --output=* | --frames-dir | --frames-dir=*) has_output=yes ;;
  esac
done

flags=("$@")
if [[ $has_prompt == no ]]; then
  flags+=(--prompt "a red circle moves right on a plain grey background")
  # The same command twice must succeed twice; a video that somebody named is never overwritten.
  if [[ $has_output == no ]]; then
    mkdir -p "$root/out"
    flags+=(--output "$root/out/quickstart.mp4" --overwrite)
  fi
fi
exec "$program" "${flags[@]}"
