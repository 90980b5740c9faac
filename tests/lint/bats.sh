#!/bin/sh
# Lines of bats tests that could never fail them: bash's errexit passes over "! command", and over all but the last command
# of "a && b".  "run ! command", and a line each, are what is meant.  Prints each; exit 1 if there is one.
set -u
cd "$(dirname "$0")/../.." || exit 2
bad=$(grep -nE '^[[:space:]]+(! |\[.* \]+ && \[)' tests/*/*.bats tests/*/*.bash tests/*/lib/*.bash | grep -vF '||')
[ -z "$bad" ] || { printf 'bats: cannot fail:\n%s\n' "$bad"; exit 1; }
