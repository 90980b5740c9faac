#!/bin/sh
# Dependencies point one way: tools -> fs -> store, and inside store/ engine, backend -> format -> base.
# Prints each include that breaks the rule; exit 1 if there is one.
set -u
cd "$(dirname "$0")/../.." || exit 2
bad=0

# rule FILES ALLOWED: every quoted include of FILES must match the extended regular expression ALLOWED.
rule()
{
	# shellcheck disable=SC2086  # $1 is a list of patterns
	out=$(grep -nE '^#include "' $1 2>/dev/null | grep -vE "#include \"($2)\"")
	if [ -n "$out" ]; then
		printf 'layers: not allowed there:\n%s\n' "$out"
		bad=1
	fi
}

types='store/(err|id|entry|snapshot|forget)\.h'
base='store/base/[a-z0-9_]+\.h'
format='store/format/[a-z0-9_]+\.h'
engine='store/engine/[a-z0-9_]+\.h'
backend='store/backend/[a-z0-9_]+\.h'
public='store/[a-z0-9_]+\.h'
helpers='store/base/(array|buf|hex|checked|must|pool|base64)\.h'

rule 'store/base/*.[ch]' "$base|store/(err|id)\.h"
rule 'store/format/*.[ch]' "$base|$format|$types"
rule 'store/backend/*.[ch]' "$base|$backend|store/(err|id)\.h"
rule 'store/engine/*.[ch]' "$base|$format|$engine|store/backend/backend\.h|store/(err|id)\.h"
rule 'store/*.c' "store/.*"
rule 'fs/*.[ch]' "fs/[a-z0-9_]+\.h|$public|$helpers"
rule 'tools/*.[ch]' "store/base/digest\.h|tools/([a-z]+/)?[a-z0-9_]+\.h|fs/mount\.h|$public|$helpers"
rule 'tools/components/*.[ch]' "tools/components/[a-z0-9_]+\.h|tools/(config|spawn|http|text)\.h|$public|$helpers|store/base/digest\.h"

# The public headers stand alone: only types of their own level.
for h in store/*.h; do
	case $h in store/internal.h|store/*_internal.h) continue ;; esac
	rule "$h /dev/null" "$public"
done
out=$(grep -nE '"store/([a-z]+_)?internal\.h"' fs/*.[ch] tools/*.[ch] store/*/*.[ch] 2>/dev/null)
[ -n "$out" ] && { printf 'layers: internal to store/:\n%s\n' "$out"; bad=1; }

# only HEADER FILES: a third-party header has one place.
only()
{
	out=$(grep -lE "^#include <($1)" $(git ls-files 'store/*.[ch]' 'fs/*.[ch]' 'tools/*.[ch]') 2>/dev/null |
		grep -vE "^($2)$")
	[ -n "$out" ] && { printf 'layers: <%s> included by:\n%s\n' "$1" "$out"; bad=1; }
}
only 'sqlite3' 'store/engine/catalog[a-z_]*\.c'
only 'zstd' 'store/engine/codec\.c|tools/components/zstream\.c'
only 'openssl/' 'store/base/(digest|sign)\.c'
only 'xxhash' 'store/base/digest\.c'
only 'jansson' 'store/format/[a-z]+\.c|store/format/json[a-z]*\.h|store/runlog\.c|tools/([a-z]+/)?[a-z0-9_]+\.[ch]'
only 'ini.h' 'tools/config\.c'
only 'curl' 'tools/http\.c'
only 'isa-l' 'store/engine/parity_code\.c'
only 'fuse' 'fs/[a-z_]+\.[ch]'

# The store neither prints nor exits.
out=$(grep -nE '\b(printf|puts|putchar|perror|exit|_exit|err|warn)\(|fprintf\(std' $(git ls-files 'store/*.c') |
	grep -vE '\b(snprintf|vsnprintf|buf_printf)\(')
[ -n "$out" ] && { printf 'layers: store/ prints or exits:\n%s\n' "$out"; bad=1; }

# Functions that cannot be used safely.
out=$(grep -nE '\b(strcpy|strcat|sprintf|strtok|atoi|gets|alloca)\(' $(git ls-files '*.c' '*.h'))
[ -n "$out" ] && { printf 'layers: forbidden functions:\n%s\n' "$out"; bad=1; }
exit $bad
