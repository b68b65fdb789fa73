#!/bin/bash
# Lock what the image installs: names, versions and hashes of all that pyproject.toml asks for, for each variant.
#
#   pip install uv
#   infra/image/lock.sh
#
# What is locked already is kept as far as pyproject.toml allows; UPGRADE=1 takes the newest releases instead.
# TORCH_WHEELS is the page or folder of torch's wheels for the CPU, as in the Dockerfile.
set -euo pipefail
cd "$(dirname "$0")/../.."

compile() {
    local variant=$1
    shift
    uv pip compile pyproject.toml infra/image/build.in "$@" --extra gcp ${UPGRADE:+--upgrade} \
        --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-annotate \
        --custom-compile-command infra/image/lock.sh --quiet --output-file "infra/image/requirements-$variant.lock"
}

compile cpu --find-links "${TORCH_WHEELS:-https://download.pytorch.org/whl/cpu/torch/}"
compile cuda --extra flash
