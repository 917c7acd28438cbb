#!/usr/bin/env bash
# One slice of training of the default model on all GPUs of this machine: the denoiser on all but the
# last, the VAE's decoder on the last; the denoiser alone on one GPU or with a DECODER_TOTAL of 0.
# Continues from models/default, or from where an earlier slice on this machine stopped; the first
# slice encodes the clips.
#
#   scripts/training/train_on_gpus.sh STATE SECONDS DENOISER_TOTAL DECODER_TOTAL
#
# SECONDS: of this slice, all in all. The totals are seconds of training over all slices, of which the
# last quarters decay. Packs the result into models/default and measures the VAE when time is left.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
state=${1:?usage: train_on_gpus.sh STATE SECONDS DENOISER_TOTAL DECODER_TOTAL}
seconds=$2 denoiser_total=$3 decoder_total=$4
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=8
gpus=$(nvidia-smi --list-gpus | wc -l)
trainers=$((gpus > 1 && decoder_total > 0 ? gpus - 1 : gpus))
training=scripts/training
left() { echo $((seconds - SECONDS)); }

if [[ ! -e $state/vae_ema.safetensors ]]; then
  python3 $training/unpack_model.py --model models/default --state "$state"
  mkdir -p "$state/decoder"
  cp "$state/vae_ema.safetensors" "$state/decoder/"
fi
if ((trainers < gpus)); then
  CUDA_VISIBLE_DEVICES=$((gpus - 1)) python3 $training/train_vae.py --state "$state/decoder" \
    --decoder-only --peak-lr 4e-4 --benchmark-convolutions --total "$decoder_total" \
    --seconds $(($(left) - 60)) &
fi
export CUDA_VISIBLE_DEVICES
CUDA_VISIBLE_DEVICES=$(seq -s, 0 $((trainers - 1)))
torchrun --nproc-per-node "$trainers" $training/train_dit.py --state "$state" --encode-seconds 75 \
  --total "$denoiser_total" --seconds $(($(left) - 45))
wait
cp "$state/decoder/vae_ema.safetensors" "$state/"
python3 $training/package_model.py --state "$state" --out models/default
if ((trainers < gpus)); then
  timeout "$(left)" python3 $training/evaluate_vae.py --split test-iid --clips 64 || true
fi
