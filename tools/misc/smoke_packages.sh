#!/usr/bin/env bash
# Build the sdist, and the wheel from it; install each (or those that end in $1) into an empty environment and run tests/smoke_installed.py there.
# The dependencies are borrowed from .venv, where the editable install of the checkout is not visible through a .pth line.
set -euo pipefail
cd "$(dirname "$0")/../.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
purelib() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

.venv/bin/python -m build --no-isolation --outdir "$scratch" . >"$scratch/build.log" || { cat "$scratch/build.log"; exit 1; }
for package in "$scratch"/*.tar.gz "$scratch"/*.whl; do
    [[ $package == *"${1:-}" ]] || continue
    echo "== $(basename "$package")"
    .venv/bin/python -m venv --without-pip "$scratch/venv"
    purelib .venv/bin/python >"$(purelib "$scratch/venv/bin/python")/dependencies.pth"
    .venv/bin/python -m pip --python "$scratch/venv/bin/python" install --quiet --no-deps --no-build-isolation "$package"
    cp tests/smoke_installed.py "$scratch"
    (cd "$scratch" && venv/bin/python smoke_installed.py)
    rm -rf "$scratch/venv"
done
