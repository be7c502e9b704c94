# Every .bats file loads this: the built fvdtool comes first in PATH, and each test works in a
# directory of its own.
# shellcheck shell=bash
bats_require_minimum_version 1.5.0

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
FIXTURES=$ROOT/tests/fixtures

setup_file() {
	mkdir -p "$BATS_FILE_TMPDIR/bin"
	ln -s "$(realpath "${FVDTOOL:-$ROOT/build/fvdtool}")" "$BATS_FILE_TMPDIR/bin/fvdtool"
}

setup() {
	PATH=$BATS_FILE_TMPDIR/bin:$PATH
	cd "$BATS_TEST_TMPDIR" || return 1
}

# random NAME SIZE: a file of bytes that are neither zero nor alike.
random() {
	head -c "$2" /dev/urandom >"$1"
}

# sparse NAME SIZE [OFFSET...]: holes, with 100000 random bytes at each offset.
sparse() {
	local name=$1 size=$2 offset

	truncate -s "$size" "$name"
	shift 2
	for offset in "$@"; do
		head -c 100000 /dev/urandom |
			dd of="$name" bs=1M seek="$offset" oflag=seek_bytes conv=notrunc status=none
	done
}

sha() {
	sha256sum "$1" | cut -d' ' -f1
}

# json FILTER: ask the JSON in $output.
json() {
	jq -r "$1" <<<"$output"
}

# json_is FILTER WANT
json_is() {
	local have

	have=$(json "$1")
	[[ $have == "$2" ]] || {
		echo "$1 is '$have', not '$2'"
		return 1
	}
}

# patch FILE OFFSET HEX: overwrite bytes.
patch() {
	printf '%b' "$(sed 's/../\\x&/g' <<<"$3")" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# field IMAGE NAME: a number of format-specific data.
field() {
	fvdtool info --output=json "$1" | jq -r ".\"format-specific\".data.\"$2\""
}

# crash IMAGE OFFSET FILE: write FILE there, and kill the writer once all of it is durable but the
# image not closed.
crash() {
	local size pid

	size=$(stat -c %s "$3")
	mkfifo crash.in
	fvdtool write --offset "$2" --flush-every "$size" "$1" <crash.in >crash.out &
	pid=$!
	exec 9>crash.in
	cat "$3" >&9
	until grep -q "durable $(($2 + size))" crash.out; do
		kill -0 "$pid" || return 1
		sleep 0.02
	done
	kill -9 "$pid"
	wait "$pid" || true
	exec 9>&-
	rm crash.in crash.out
}

# No temporary file is left in this directory.
nothing_left() {
	local left

	left=$(find . -name '.*.*' -type f)
	[[ -z $left ]] || {
		echo "left behind: $left"
		return 1
	}
}

# Every line: "STATUS ARGUMENT...", parsed by the tool and not run.
check_args() {
	local status words line bad=0

	while read -r line; do
		[[ -n $line ]] || continue
		read -ra words <<<"$line"
		status=0
		fvdtool "${words[1]}" --check-args "${words[@]:2}" >out 2>&1 || status=$?
		if [[ $status != "${words[0]}" ]]; then
			echo "status $status, not ${words[0]}: fvdtool ${words[*]:1}"
			cat out
			bad=1
		fi
	done
	return $bad
}
