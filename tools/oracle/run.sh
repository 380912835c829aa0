#!/usr/bin/env bash
# Re-checks the kernel library and published adapters against transformers, PEFT and bitsandbytes.
set -euo pipefail
cd "$(dirname "$0")"
./setup.sh
npm --prefix ../.. run --silent build
# Threads that spin while they wait for each other take a loaded machine to a crawl.
export OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0
exec .venv/bin/python -m pytest -q -W ignore "$@"
