#!/bin/sh
# man.sh PAGE: mandoc has nothing to say about it. (Whether other packages' pages are installed is not its business.)
out=$(mandoc -T lint -W style "$1" 2>&1 | grep -vE 'referenced manual not found|outdated mandoc.db|makewhatis|unusual Xr')
[ -z "$out" ] || { printf '%s\n' "$out"; exit 1; }
