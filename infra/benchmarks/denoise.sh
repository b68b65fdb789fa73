#!/usr/bin/env bash
# The denoising loop of each model at its true size, ours and diffusers' in turns, on one GPU:
#   infra/benchmarks/denoise.sh OUT [MODEL …]
# leaves MODEL.json and MODEL.png in the folder OUT. ROUNDS is how often each variant runs.
set -euo pipefail
out=$1
shift
[ "$#" -gt 0 ] || set -- open-sora-1.2 latte-1 cogvideox-2b wan-2.1-1.3b
mkdir -p "$out"

for model in "$@"; do
    case $model in
        open-sora-1.2) what=(--size 848x480 --frames 51 --steps 30) ;;
        latte-1) what=(--size 512x512 --frames 16 --steps 50 --pab spatial=2,temporal=3,cross=6,timesteps=100:800) ;;
        cogvideox-2b) what=(--size 720x480 --frames 49 --steps 30 --pab spatial=2,timesteps=100:800) ;;
        wan-2.1-1.3b) what=(--size 832x480 --frames 81 --steps 20 --guidance-passes two_pass
            --pab spatial=2,cross=6,timesteps=100:800,cache_dtype=fp8) ;;
        *) echo "no shape is known for $model" >&2; exit 2 ;;
    esac
    # shellcheck disable=SC2086
    ${PABCAST:-pabcast} bench denoise --device cuda --dtype bfloat16 --rounds "${ROUNDS:-2}" --model "$model" \
        "${what[@]}" --out "$out/$model.json" --plot "$out/$model.png"
done
