#!/bin/sh
# Resolves afresh in an environment of its own and writes the versions found: lock.sh FILE
set -eu

file=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sh scripts/venv.sh "$scratch/venv" "${PYTHON:-}"
"$scratch/venv/bin/python3" -m pip install --quiet hatchling '.[dev]'
{
    echo '# The versions that CI uses, on every host the same. Renew with: make lock'
    "$scratch/venv/bin/python3" -m pip freeze --exclude ostler
} >"$scratch/lock"
cp "$scratch/lock" "$file"
