#!/usr/bin/env bash
# Makes tools/oracle/.venv from requirements.txt; does nothing when it is up to date.
set -euo pipefail
cd "$(dirname "$0")"
stamp=.venv/requirements.sha256
want=$(sha256sum requirements.txt)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0
[ -x .venv/bin/python ] || python3 -m venv .venv
# torch first and alone: every other package is then content with the CPU build that is there.
.venv/bin/python -m pip install --quiet "$(grep '^torch==' requirements.txt)"
.venv/bin/python -m pip install --quiet -r requirements.txt
printf '%s' "$want" > "$stamp"
