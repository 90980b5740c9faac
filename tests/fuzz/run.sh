#!/bin/sh
# run.sh TARGET.c SECONDS: build one libFuzzer target with ASan and UBSan, replay its corpus, then fuzz for SECONDS.
# A crash leaves its input in build/fuzz/ and fails; put it into the corpus with the fix.
set -eu
cd "$(dirname "$0")/../.."
src=$1 seconds=$2
name=$(basename "$src" .c)
out=build/fuzz
mkdir -p "$out/$name.found"
# Several of these at once share the library.
flock "$out/lock" make -s CC=clang B=build/fuzz/obj SAN=fuzzer-no-link,address,undefined CFLAGS="-O1 -g" build/fuzz/obj/libvouch.a
with=$(sed -n 's/^ \* With: //p' "$src")	# what it needs of tests/lib
# shellcheck disable=SC2086  # a list
clang -std=c11 -D_GNU_SOURCE -I. -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	-o "$out/$name" "$src" $with build/fuzz/obj/libvouch.a \
	$(pkg-config --cflags --libs libcrypto libzstd sqlite3 libxxhash jansson libisal) -pthread
corpus=tests/fuzz/corpus/${name#fuzz_}
mkdir -p "$corpus"
find "$corpus" -type f -print0 | xargs -0 -r "$out/$name" -runs=1 -rss_limit_mb=1024 >/dev/null 2>"$out/$name.log" ||
	{ tail -n 40 "$out/$name.log"; exit 1; }
"$out/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$out/$name-" \
	"$out/$name.found" "$corpus" 2>"$out/$name.log" || { tail -n 40 "$out/$name.log"; exit 1; }
tail -n 2 "$out/$name.log"
