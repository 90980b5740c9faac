#!/usr/bin/env bats
# The main job, as it is typed.

load helper

@test "init says what it has made, and the folder is its owner's alone" {
	run -0 vouch init "$W/repo"
	[[ $output == *"$W/repo"* && $output == *"id "* ]]
	[ "$(stat -c %a "$W/repo/vouch.json")" = 600 ]
	[ -s "$W/repo/README.txt" ]
}

@test "init takes its parameters" {
	run -0 vouch init --zstd-level 9 --chunk-avg 64K --block 256KiB --pack 4M "$W/repo"
	run -0 jq -c '.params // .' "$W/repo/vouch.json"
	[[ $output == *65536* && $output == *4194304* ]]
}

@test "init takes the path from VOUCH_REPO" {
	run -0 vouch init
	[ -s "$VOUCH_REPO/vouch.json" ]
}

@test "backup of two folders keeps the paths whole" {
	tree "$W/src"
	vouch init "$VOUCH_REPO"
	run -0 --separate-stderr vouch backup "$W/src/share" "$W/src/etc"
	[[ ${lines[0]} =~ ^snapshot\ +20[0-9-]+T[0-9-]+Z-[0-9a-f]{16}$ ]]
	[[ $output == *"6: 6 new, 0 changed, 0 unchanged"* ]]
	run -0 vouch cat "latest:$W/src/etc/hosts"
	[ "$output" = '127.0.0.1 localhost' ]
}

@test "backup with everything that chooses files" {
	tree "$W/src"
	mkdir -p "$W/src/obj/cache"
	echo 'Signature: 8a477f597d28d172789f06886806bc55' >"$W/src/obj/cache/CACHEDIR.TAG"
	echo x >"$W/src/obj/cache/content"
	touch "$W/src/obj/a.o" "$W/src/obj/a.c" "$W/src/obj/b.tmp"
	printf '# comment\n\n*.tmp\n' >"$W/F"
	vouch init "$VOUCH_REPO"
	printf 'etc\n' |
		vouch backup --exclude '*.o' --exclude-from "$W/F" --exclude-caches -x --files-from - \
			--tag nightly --tag weekly -C "$W/src" obj
	run -0 vouch ls -R latest
	[ "$output" = 'etc/
etc/hosts
etc/hosts2
etc/link
etc/ssh/
etc/ssh/sshd_config
obj/
obj/a.c
obj/cache/
obj/cache/CACHEDIR.TAG' ]
	run -0 vouch snapshots --tag nightly --json
	[ "$(jq -c .tags <<<"$output")" = '["nightly","weekly"]' ]
}

@test "backup -C with a dot, options after the path" {
	tree "$W/src"
	vouch init "$VOUCH_REPO"
	run -0 vouch backup . -C "$W/src" --exclude /share
	run -0 vouch ls latest
	[ "$output" = etc/ ]
}

@test "a list whose names end in NUL" {
	printf 'x' >"$W/src/new
line"
	vouch init "$VOUCH_REPO"
	(cd "$W/src" && find . -type f -print0) | vouch backup -C "$W/src" --files-from - --from0
	run -0 vouch ls latest
	[ "$output" = 'new\nline' ]
}

@test "the second backup reads nothing again" {
	tree "$W/src"
	find "$W/src" -exec touch -h -d '1 hour ago' {} +
	sleep 2.1	# ctime is now: what is younger than two seconds is read again
	vouch init "$VOUCH_REPO"
	vouch backup -q -C "$W/src" .
	run -0 vouch backup --json -C "$W/src" .
	[ "$(jq -c 'select(.type == "summary") | [.files, .files_unchanged, .new_bytes]' <<<"$output")" = '[6,6,0]' ]
	run -0 vouch backup --force --json -C "$W/src" .
	[ "$(jq -c 'select(.type == "summary") | [.files_unchanged, .new_bytes]' <<<"$output")" = '[0,0]' ]
}

@test "dry run stores nothing" {
	tree "$W/src"
	vouch init "$VOUCH_REPO"
	run -0 vouch backup --dry-run -C "$W/src" .
	[[ $output == *"nothing was stored"* ]]
	run -0 vouch snapshots
	[[ $output == *"no snapshot yet"* ]]
}

@test "snapshots shows id, date, host, sources, tags, files, bytes, new bytes" {
	made
	vouch backup -q --host other --tag odd "$W/src/etc"
	run -0 vouch snapshots
	[ "${#lines[@]}" = 3 ]
	[[ ${lines[0]} =~ ^ID\ +DATE\ +HOST\ +SOURCES\ +TAGS\ +FILES\ +BYTES\ +NEW$ ]]
	[[ ${lines[2]} =~ ^[0-9a-f]{12}\ +20[0-9-]+T[0-9-]+Z\ +other\ .*src/etc\ +odd\ +3\  ]]
	run -0 vouch snapshots --host other
	[ "${#lines[@]}" = 2 ]
	run -0 vouch snapshots --path "$W/src/etc/ssh"
	[ "${#lines[@]}" = 2 ]
	run -0 vouch snapshots --tag none
	[[ $output == *"no snapshot is like that"* ]]
}

@test "ls, cat and diff" {
	made
	run -0 vouch ls latest:/etc
	[ "$output" = 'hosts
hosts2
link
ssh/' ]
	run -0 vouch ls -l latest:etc
	[[ ${lines[0]} =~ ^-rw-r--r--\ +2\ .*\ 20\ 20.*Z\ hosts$ ]]
	[[ ${lines[2]} =~ link\ -\>\ hosts$ ]]
	[[ ${lines[3]} =~ ^drwx ]]
	run -0 vouch ls latest:/etc/hosts
	[ "$output" = hosts ]
	vouch cat latest:/share/random.bin | cmp - "$W/src/share/random.bin"
	run -0 vouch cat latest:share/empty
	[ -z "$output" ]

	echo more >>"$W/src/etc/hosts"
	chmod 600 "$W/src/etc/ssh/sshd_config"
	rm "$W/src/share/empty"
	mkdir "$W/src/new"
	echo 1 >"$W/src/new/file"
	vouch backup -q -C "$W/src" .
	run -0 vouch diff latest~1 latest
	grep -qx 'M etc/hosts' <<<"$output"
	grep -qx 'm etc/ssh/sshd_config' <<<"$output"
	grep -qx -- '- share/empty' <<<"$output"
	grep -qx '+ new/file' <<<"$output"
	run -0 vouch diff latest:/etc/hosts latest~1:/etc/hosts
	[[ $output == 'M '* ]]
	run -0 vouch diff latest latest
	[ -z "$output" ]
}

@test "cat writes holes as zeros" {
	truncate -s 3M "$W/src/sparse"
	printf end >>"$W/src/sparse"
	vouch init "$VOUCH_REPO"
	vouch backup -q -C "$W/src" .
	vouch cat latest:sparse | cmp - "$W/src/sparse"
}

@test "mount, cp, find, fusermount3" {
	fuse_only
	made
	mkdir "$W/mnt"
	run -0 vouch mount "$W/mnt"
	date=$(vouch snapshots --json | jq -r '.name[:20]')
	mkdir "$W/back"
	cp -a "$W/mnt/$date/etc" "$W/back"
	diff -r "$W/src/etc" "$W/back/etc"
	(cd "$W/src" && find . -type f -exec sha256sum {} + | sort) >"$W/a"
	(cd "$W/mnt/latest/" && find . -type f -exec sha256sum {} + | sort) >"$W/b"
	cmp "$W/a" "$W/b"
	fusermount3 -u "$W/mnt"
	run ! mountpoint -q "$W/mnt"
}

@test "mount takes the repository as an argument, and -f stays" {
	fuse_only
	made
	unset VOUCH_REPO
	mkdir "$W/mnt"
	"$V" mount -f -o noexec "$W/repo" "$W/mnt" 3>&- &
	pid=$!
	for _ in $(seq 100); do mountpoint -q "$W/mnt" && break; sleep 0.1; done
	[ "$(cat "$W/mnt/latest/etc/hosts")" = '127.0.0.1 localhost' ]
	fusermount3 -u "$W/mnt"
	wait $pid
}

@test "restore puts what is below a folder below the other" {
	made
	run -0 vouch restore latest:/etc "$W/back2"
	diff -r "$W/src/etc" "$W/back2"
	[ -L "$W/back2/link" ]
	rm "$W/back2/hosts"
	run -0 vouch restore --json latest:/etc "$W/back2"
	[ "$(jq 'select(.type == "summary") | .unchanged' <<<"$output")" -ge 1 ]
	diff -r "$W/src/etc" "$W/back2"
	run -0 vouch restore latest:/etc/hosts "$W/one"
	[ "$(ls "$W/one")" = hosts ]
}

@test "restore: include, exclude, dry run, verify" {
	made
	run -0 vouch restore --dry-run latest "$W/none"
	[ ! -e "$W/none" ]
	run -0 vouch restore --include '*.txt' --include hosts --exclude etc latest "$W/some"
	[ "$(cd "$W/some" && find . -type f)" = ./share/doc/numbers.txt ]
	run -0 vouch restore --verify --jobs 2 latest "$W/all"
	[[ $output == *"read back and are right"* ]]
	diff -r "$W/src" "$W/all"
}

@test "verify, and verify --files" {
	made
	run -0 vouch verify
	[[ $output == *"packs"* && $output == *"as it was written"* ]]
	run -0 vouch verify --files latest
	[[ $output == *" 6  files"* ]]
}

@test "the medium can be checked without vouch" {
	made
	cd "$VOUCH_REPO"
	run -0 sha256sum --quiet -c SHA256SUMS
}

@test "snapshots are found by name, date, id, latest~N" {
	made
	vouch backup -q -C "$W/src" .
	name=$(vouch snapshots --json | head -n 1 | jq -r .name)
	id=$(vouch snapshots --json | head -n 1 | jq -r .id)
	for spec in "$name" "${name:0:20}" "${id:0:12}" latest~1; do
		run vouch ls --json "$spec:etc/hosts"
		# Two within one second share a date: that is ambiguous, and said so.
		[ "$status" = 0 ] || { [ "$status" = 2 ] && [ "$spec" = "${name:0:20}" ]; }
	done
	run -0 vouch ls "${name:0:10}"
	run -1 vouch ls latest~2
	[[ $output == *"only 2"* ]]
	run -1 vouch ls 1999-01-01
}

@test "help, version, and the nearest command" {
	run -0 vouch help
	[[ $output == *"snapshots"* && $output == *"75"* ]]
	for c in init backup snapshots ls cat diff mount restore verify status; do
		run -0 vouch help $c
		[[ ${lines[0]} == "usage: vouch $c"* ]]
		run -0 vouch $c --help
		[[ ${lines[0]} == "usage: vouch $c"* ]]
		[ -s "$TOP/man/vouch-$c.1" ]
	done
	run -0 vouch --version
	[[ $output =~ ^vouch\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	run -2 vouch bakcup
	[[ $output == *"did you mean 'backup'"* ]]
	run -2 vouch frobnicate
	[[ $output == *"see 'vouch help'"* ]]
	run -2 vouch
	run -2 vouch help nothing
}

@test "every option of a page is an option of the command, and the other way round" {
	for c in init backup snapshots ls cat diff mount restore verify status; do
		for o in $(grep -oE '^\.It Fl .*' "$TOP/man/vouch-$c.1" | grep -oE 'Fl -[a-z][a-z0-9-]+' | cut -c5-); do
			run "$V" $c "--$o" </dev/null
			[[ $output != *"unknown"* ]] || { echo "vouch $c -$o: $output"; false; }
		done
		for o in $("$V" help $c | grep -oE -- '--[a-z][a-z0-9-]+' | sort -u); do
			grep -q -- "Fl $(printf %s "$o" | cut -c2-)" "$TOP/man/vouch-$c.1" ||
				{ echo "vouch-$c.1 lacks $o"; false; }
		done
	done
}
