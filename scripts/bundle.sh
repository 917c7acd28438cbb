#!/usr/bin/env bash
# Packs programs of a build with the shared libraries they need, for a machine that has a driver and
# CUDA's libraries but none of the others.
#
#   scripts/bundle.sh OUT.tar.xz PROGRAM...     for example build/cuda-release/app/psa-gen
#
# In the archive: bin/ with the programs, lib/ with libpsagen_cuda.so (from the root of the first
# program's build tree) and the libraries, found through $ORIGIN. Left to the machine: glibc, the C++
# run-time library, CUDA's libraries (set LD_LIBRARY_PATH where the loader does not know them).
# A static FFmpeg (PKG_CONFIG_PATH at configure time) keeps the archive small: the one of Debian brings
# 140 MB of codecs along.
set -euo pipefail
out=${1:?usage: bundle.sh OUT.tar.xz PROGRAM...}
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/lib"

tree=$(dirname "$(readlink -f "$1")")
while [[ $tree != / && ! -f $tree/CMakeCache.txt ]]; do tree=$(dirname "$tree"); done
cp "$@" "$work/bin/"
[[ -f $tree/libpsagen_cuda.so ]] && cp "$tree/libpsagen_cuda.so" "$work/lib/"

left_out='^(linux-vdso|ld-linux|libc\.|libm\.|libdl\.|libpthread\.|librt\.|libstdc\+\+|libgcc_s|libcublas|libcudnn|libnvrtc|libcuda)'
for file in "$work"/bin/* "$work"/lib/*.so; do
  ldd "$file" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
done | sort -u | while read -r library; do
  [[ $(basename "$library") =~ $left_out ]] || cp -L "$library" "$work/lib/"
done
strip --strip-unneeded "$work"/bin/* "$work"/lib/*
for file in "$work"/bin/*; do patchelf --set-rpath '$ORIGIN/../lib' "$file"; done
for file in "$work"/lib/*; do patchelf --set-rpath '$ORIGIN' "$file"; done
tar -C "$work" -c bin lib | xz -3 -T0 >"$out"
du -h "$out" | cut -f1
