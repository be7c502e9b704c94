# Makes the damaged image of one recipe: recipe.bash NAME FILE. Needs fvdtool in PATH.
# shellcheck shell=bash
set -euo pipefail
recipe=$(dirname "${BASH_SOURCE[0]}")/$1
IMAGE=$2

# A sound image of 16 MiB in chunks of 64 KiB, 64 KiB of journal, chunks 0 to 3 written; options
# of create may follow, which then decide the chunks and the journal too.
sound() {
	local options=("$@")

	(($# > 0)) || options=(--chunk-size 64K --journal-size 64K)
	fvdtool create "${options[@]}" "$IMAGE" 16M >/dev/null
	head -c 256K /dev/zero | tr '\0' 'x' | fvdtool write "$IMAGE" >/dev/null
}

# patch OFFSET HEX
# shellcheck disable=SC2001 # a pair at a time
patch() {
	printf '%b' "$(sed 's/../\\x&/g' <<<"$2")" |
		dd of="$IMAGE" bs=1 seek="$1" conv=notrunc status=none
}

# number OFFSET: the 64-bit number there.
number() {
	od -An -tu8 -j "$1" -N 8 --endian=little "$IMAGE" | tr -d ' '
}

# le BYTES NUMBER: little-endian hexadecimal.
le() {
	local i out=''

	for ((i = 0; i < $1; i++)); do
		out+=$(printf '%02x' $((($2 >> (8 * i)) & 255)))
	done
	echo "$out"
}

data() { number 16; }
bitmap() { number 2112; }
table() { number 2136; }
journal() { number 3192; }

# entry CHUNK NUMBER
entry() { patch $(($(table) + 4 * $1)) "$(le 4 "$2")"; }

dirty() { patch 3216 00000000; }

# table_record SECTOR EPOCH CHUNK NUMBER: a journal sector with one TABLE record of one entry.
table_record() {
	patch $(($(journal) + 512 * $1)) \
		"acf7e6b4$(le 8 "$2")$(le 4 1)$(le 4 "$3")$(le 4 "$4")00000000"
}

# store CHUNK-NUMBER: 64 KiB of data where that chunk would be.
store() {
	head -c 64K /dev/zero | tr '\0' 'y' |
		dd of="$IMAGE" bs=64K seek=$(($(data) + $1 * 65536)) oflag=seek_bytes conv=notrunc \
			status=none
}

# shellcheck source=/dev/null
source "$recipe"
