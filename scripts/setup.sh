#!/usr/bin/env bash
# Installs what psa-gen needs and this machine has not, with apt, and says what that is.
#
#   scripts/setup.sh            what building and running the program takes
#   scripts/setup.sh --tests    and what its tests take
#   scripts/setup.sh --checks   and what the style checks take
#
# Prints nothing where nothing is missing. PSAGEN_SKIP_SETUP=1 turns it off, for a machine whose
# libraries come from somewhere else than its package manager.
set -euo pipefail

# "command:package" is there when the command is, a bare package name when dpkg says so.
wanted=(
  g++:g++ cmake:cmake ninja:ninja-build pkg-config:pkg-config
  libdnnl-dev libhwy-dev
  libsentencepiece-dev libutf8proc-dev nlohmann-json3-dev
  libavcodec-dev libavformat-dev libavutil-dev libswscale-dev libstb-dev
)
for group in "$@"; do
  case $group in
    --tests) wanted+=(libgtest-dev libgmock-dev libbenchmark-dev ffprobe:ffmpeg python3:python3) ;;
    --checks) wanted+=(clang-format-14:clang-format-14 git:git python3:python3) ;;
    *) echo "setup.sh: unknown option $group (there are --tests and --checks)" >&2; exit 2 ;;
  esac
done

[[ ${PSAGEN_SKIP_SETUP:-0} == 1 ]] && exit 0

is_installed() {
  [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

missing=()
for item in "${wanted[@]}"; do
  case $item in
    *:*) command -v "${item%%:*}" >/dev/null 2>&1 || missing+=("${item##*:}") ;;
    *) is_installed "$item" || missing+=("$item") ;;
  esac
done
(( ${#missing[@]} == 0 )) && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  cat >&2 <<MESSAGE
setup.sh: this system has no apt-get, so install these yourself (names as in Debian and Ubuntu):
  ${missing[*]}
and run again with PSAGEN_SKIP_SETUP=1.
MESSAGE
  exit 1
fi

as_root=()
if [[ $(id -u) != 0 ]]; then
  if ! command -v sudo >/dev/null 2>&1; then
    cat >&2 <<MESSAGE
setup.sh: these packages are missing, and neither are you root nor is there sudo:
  ${missing[*]}
MESSAGE
    exit 1
  fi
  as_root=(sudo)
fi

echo "Installing with apt: ${missing[*]}"
apt_get() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# An old package list may still name what there is, so a failed update alone stops nothing.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! apt_get update >"$log" 2>&1; then
  cat "$log" >&2
  echo "setup.sh: apt-get update failed; trying with the package lists that are there" >&2
fi
if ! apt_get install --yes --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
  cat "$log" >&2
  echo "setup.sh: apt-get could not install: ${missing[*]}" >&2
  echo "(psa-gen needs Debian 12, Ubuntu 24.04 with its 'universe' packages, or later)" >&2
  exit 1
fi
echo "Installed them and what they depend on."
