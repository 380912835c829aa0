#!/usr/bin/env bash
# Fuzzes every operation of the OpenAPI description on an installation of its own: see fuzz_api.py.
set -euo pipefail
cd "$(dirname "$0")"
./setup.sh
npm --prefix ../.. run --silent build
exec .venv/bin/python fuzz_api.py "$@"
