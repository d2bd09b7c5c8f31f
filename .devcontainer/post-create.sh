#!/usr/bin/env bash
# Makes the environment once, so that `func start` is all that is left to type.
set -euo pipefail
cd "$(dirname "$0")/.."
make setup
npm install --global --no-fund --no-audit azure-functions-core-tools@4
[ -e local.settings.json ] || cp local.settings.example.json local.settings.json
echo "Ready: func start"
