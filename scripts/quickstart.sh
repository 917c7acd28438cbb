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

# Flags come first in psa-gen, so a first word without a dash is a command like `info`.
case ${1:--} in
  -*) ;;
  *) exec "$program" "$@" ;;
esac

given() {
  local wanted=$1 flag
  shift
  for flag in "$@"; do
    [[ $flag =~ ^($wanted)(=.*)?$ ]] && return 0
  done
  return 1
}

flags=("$@")
if ! given '-p|--prompt|--prompt-file|--from|--config|-h|--help|--version' "$@"; then
  flags+=(--prompt "a red circle moves right on a plain grey background")
  given '--seed' "$@" || flags+=(--seed 0)
  # The same command twice must succeed twice; a file that somebody named is never overwritten.
  if ! given '-o|--output|--frames-dir' "$@"; then
    mkdir -p "$root/out"
    flags+=(--output "$root/out/quickstart.mp4")
    given '--overwrite' "$@" || flags+=(--overwrite)
  fi
fi
exec "$program" "${flags[@]}"
