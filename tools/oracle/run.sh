#!/usr/bin/env bash
# Re-checks the kernel library and published adapters against transformers, PEFT and bitsandbytes.
set -euo pipefail
cd "$(dirname "$0")"
./setup.sh
npm --prefix ../.. run --silent build
exec .venv/bin/python -m pytest -q -W ignore "$@"
