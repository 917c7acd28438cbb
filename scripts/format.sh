#!/usr/bin/env bash
# Formats every C++ file of the repository with the one version of clang-format that CI uses:
# another version lays the same code out differently.
#
#   scripts/format.sh            rewrites the files
#   scripts/format.sh --check    names the files that would change, and fails if there are any
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly wanted=14

formatter=
for candidate in clang-format-$wanted clang-format; do
  if "$candidate" --version 2>/dev/null | grep -q "version $wanted\."; then
    formatter=$candidate
    break
  fi
done
if [[ -z $formatter ]]; then
  echo "format.sh: clang-format $wanted is wanted (Debian and Ubuntu: clang-format-$wanted)" >&2
  exit 1
fi

mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.h' '*.cc' '*.cu' '*.cuh' |
  while read -r file; do [[ -f $file ]] && echo "$file"; done)
case ${1:-} in
  '') "$formatter" -i "${files[@]}" ;;
  --check)
    unformatted=()
    for file in "${files[@]}"; do
      "$formatter" --dry-run -Werror "$file" >/dev/null 2>&1 || unformatted+=("$file")
    done
    if (( ${#unformatted[@]} > 0 )); then
      printf '%s: not formatted\n' "${unformatted[@]}" >&2
      echo "format.sh: run scripts/format.sh" >&2
      exit 1
    fi
    echo "format.sh: ${#files[@]} files are formatted" ;;
  *) echo "format.sh: unknown option $1 (there is --check)" >&2; exit 2 ;;
esac
