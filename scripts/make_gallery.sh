#!/usr/bin/env bash
# Makes the gallery of the documentation again: the first prompts of configs/jobs/gallery_prompts.txt,
# seed 0 each, none left out. Strips of six frames go to docs/images/gallery, and one sheet of all
# to docs/images/gallery.png.
#
#   scripts/make_gallery.sh [PROGRAM] [COUNT]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
program=${1:-$root/build/cpu-release/app/psa-gen}
count=${2:-12}
folder=$root/docs/images/gallery
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$folder"

number=0
while IFS= read -r prompt && [ "$number" -lt "$count" ]; do
  name=$(printf '%02d' "$number")
  "$program" --prompt "$prompt" --seed 0 --frames-dir "$work/$name" --progress none < /dev/null
  last=$(($(find "$work/$name" -name 'frame_*.png' | wc -l) - 1))
  inputs=()
  for share in 0 1 2 3 4 5; do
    inputs+=(-i "$work/$name/frame_$(printf '%05d' $((share * last / 5))).png")
  done
  ffmpeg -nostdin -loglevel error -y "${inputs[@]}" \
    -filter_complex "hstack=inputs=6,scale=768:-1:flags=area" -frames:v 1 "$folder/$name.png"
  number=$((number + 1))
done < "$root/configs/jobs/gallery_prompts.txt"

strips=()
for ((i = 0; i < number; ++i)); do strips+=(-i "$folder/$(printf '%02d' "$i").png"); done
ffmpeg -nostdin -loglevel error -y "${strips[@]}" -filter_complex "vstack=inputs=$number" -frames:v 1 \
  "$root/docs/images/gallery.png"
echo "$number strips in docs/images/gallery, all of them in docs/images/gallery.png"
