#!/usr/bin/env bash
# Whole jobs (Ray, pool, engine, local output) on one GPU: the demo model's videos, then those of a Latte-1 of the true
# size with random weights.
#   infra/benchmarks/job.sh OUT
# leaves the two summaries, demo.json and latte-1.json, in the folder OUT. ROWS is how many videos each makes.
set -euo pipefail
out=$1
here=$(dirname "$0")
read -r demo_rows latte_rows <<<"${ROWS:-200 10}"
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

prompts() { # ROWS FILE
    for ((row = 0; row < $1; row++)); do
        echo "{\"id\": \"row-$row\", \"prompt\": \"a red circle moving left over a black background\", \"seed\": $row}"
    done >"$2"
}

job() { # NAME KEY=VALUE …
    local name=$1
    shift
    printf 'model: demo\ninput: {path: %s}\noutput: {uri: %s}\n' "$work/$name.jsonl" "$work/$name" >"$work/$name.yaml"
    # shellcheck disable=SC2086
    ${PABCAST:-pabcast} run "$work/$name.yaml" cluster.device="${DEVICE:-cuda}" cluster.compile=true "$@" --json \
        >"$out/$name.json"
}

prompts "$demo_rows" "$work/demo.jsonl"
job demo pab=pab246
python3 "$here/random_latte.py" "$work/model"
prompts "$latte_rows" "$work/latte-1.jsonl"
job latte-1 model="$work/model" pab=spatial=2,temporal=3,cross=6,timesteps=100:800 \
    sampling.height=512 sampling.width=512 sampling.num_frames=16 sampling.steps=50
