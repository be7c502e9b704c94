#!/usr/bin/env bash
# The main job on real input: a file system goes into FVD, is changed, crashes, is replayed,
# checked and compacted, and comes back byte for byte. Each step is printed as a command that a
# person could type; the first thing that is not as it should be ends the demo with an error.
#
# DEMO_DIR    where the images go (default demo-images)
# DEMO_SOURCE the directory that becomes a file system (default /usr/share)
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${BUILD:-$here/build}
dir=${DEMO_DIR:-$here/demo-images}
source=${DEMO_SOURCE:-/usr/share}
mark=made-by-fvdtool-demo
PATH=$BUILD:$PATH:/usr/sbin:/sbin
writer=
export LC_ALL=C

die() {
	echo "demo: $*" >&2
	exit 1
}

say() {
	echo
	printf '# %s\n' "$@"
}

# run COMMAND [STATUS]: show it, run it, and insist on its exit status.
run() {
	local status=0

	printf '$ %s\n' "$1"
	(set +e; eval "$1") || status=$?
	((status == ${2:-0})) || die "'$1' ended with status $status, not ${2:-0}"
}

# want TEXT FILE: a line of FILE must hold TEXT.
want() {
	grep -qF -- "$1" "$2" || die "no '$1' in: $(cat "$2")"
}

disk_bytes() {
	stat -c '%b %B' "$1" | { read -r blocks size; echo $((blocks * size)); }
}

# A number from the line "NAME: would free 622 MiB (651710464 bytes)".
bytes_of() {
	sed -nE "s/.*$1 ([0-9.]+ [KMGTPE]iB \()?([0-9]+) bytes.*/\2/p" "$2"
}

stop_writer() {
	exec 9>&- || true
	[ -z "$writer" ] || kill -9 "$writer" 2>/dev/null || true
	rm -f "$dir/pipe"
}

# Only a directory that an earlier run has made is removed.
prepare_dir() {
	if [ -e "$dir" ]; then
		[ -e "$dir/$mark" ] || die "$dir exists and is not from an earlier demo:" \
			"remove it, or name another place with DEMO_DIR="
		rm -rf -- "$dir"
	fi
	mkdir -p -- "$dir"
	dir=$(cd "$dir" && pwd)
	: >"$dir/$mark"
}

# Bytes and files of the source, and the room for four copies of it at the worst moment.
measure_source() {
	local kib free

	kib=$(du -sk "$source" 2>/dev/null | cut -f1) || true
	inodes=$(($(find "$source" -xdev 2>/dev/null | wc -l || true) * 21 / 20 + 2000))
	mib=$((kib * 21 / 20 / 1024 + inodes / 4096 + 64))
	disk_mib=$((mib * 3 / 2))
	free=$(df -Pk "$dir" | awk 'NR == 2 { print int($4 / 1024) }')
	((free > 4 * mib + disk_mib)) || die "$dir has $free MiB free, and this needs" \
		"$((4 * mib + disk_mib)) MiB ($source is $((kib / 1024)) MiB): name another" \
		"place with DEMO_DIR=, or a smaller directory with DEMO_SOURCE="
}

make_disk() {
	local tree=$source

	say "A real file system: everything in $source, as an ext4 image" \
		"(of 70,000 files mke2fs takes half a minute, of fewer much less)."
	if [ -n "$(find "$source" -xdev ! -type l ! -readable -print -quit 2>/dev/null)" ]; then
		say "Not all of it is readable for $(id -un): take what is."
		tree=tree
		run "mkdir tree"
		run "tar --ignore-failed-read -C $source -cf - . 2>/dev/null | tar -C tree -xf -"
	fi
	run "mke2fs -q -t ext4 -N $inodes -d $tree disk.raw ${disk_mib}M"
	deletions "$tree"
	[ "$tree" = "$source" ] || run "rm -rf tree"
}

# Every second of the larger files, as commands for debugfs.
deletions() {
	find "$1" -xdev -type f -size +15k ! -name '*["\]*' -printf '%P\n' | sort |
		awk 'NR % 2 { printf "rm \"/%s\"\n", $0 }' >deletions
	[ -s deletions ] || die "$source has no file larger than 16 KiB"
}

convert_it() {
	say "Into FVD. Zeros take no room in it."
	run "fvdtool convert -f raw disk.raw disk.fvd"
	run "fvdtool info disk.fvd"
	run "fvdtool check disk.fvd"
}

change_overlay() {
	say "An overlay on it: a disk of its own that stores only what is changed."
	run "fvdtool create -b disk.fvd -F fvd overlay.fvd"
	run "head -c 20M /dev/urandom >patch.bin"
	run "fvdtool write --offset 12345677 overlay.fvd patch.bin"
	run "echo 'the overlay was here' | fvdtool write --offset 1000 overlay.fvd"
	run "fvdtool check --follow overlay.fvd"
	run "fvdtool info --chain overlay.fvd | grep -E '^(image|virtual size|disk size|layout)'"
}

come_back() {
	say "Both come back. The same change made to a copy of the raw disk tells if they are right."
	run "cp --sparse=always disk.raw changed.raw"
	run "dd status=none conv=notrunc bs=1M oflag=seek_bytes seek=12345677 if=patch.bin of=changed.raw"
	run "echo 'the overlay was here' | dd status=none conv=notrunc oflag=seek_bytes seek=1000 of=changed.raw"
	run "fvdtool convert -O raw disk.fvd disk-back.raw"
	run "cmp disk.raw disk-back.raw"
	run "fvdtool convert -O raw overlay.fvd overlay-back.raw"
	run "cmp changed.raw overlay-back.raw"
	run "rm changed.raw disk-back.raw overlay-back.raw"
}

# The writer is fed by a pipe that stays open, so it is killed in the middle of its work: after
# two flushes of 4 MiB, with 2 MiB more written and not flushed.
kill_writer() {
	local tries=0

	say "A writer is killed. It had said what was durable; exactly that must be there."
	run "mkfifo pipe"
	printf '$ %s\n' "fvdtool write --offset 64M --flush-every 4M overlay.fvd <pipe >flushed &"
	fvdtool write --offset 64M --flush-every 4M overlay.fvd <pipe >flushed &
	writer=$!
	disown "$writer"
	printf '$ %s\n' "exec 9>pipe; head -c 10M patch.bin >&9"
	exec 9>pipe
	head -c 10M patch.bin >&9
	until grep -q "durable $((72 << 20))" flushed; do
		((++tries < 600)) || die "no second flush within 60 seconds: $(cat flushed)"
		sleep 0.1
	done
	run "cat flushed"
	printf '$ %s\n' "kill -9 $writer; exec 9>&-"
	kill -9 "$writer"
	exec 9>&-
	while kill -0 "$writer" 2>/dev/null; do sleep 0.1; done
	writer=
	run "rm pipe"
}

replay_it() {
	local before

	say "What it left is dirty. Readers see the journal's content all the same, and change nothing."
	run "fvdtool info overlay.fvd >info.txt; grep ^state info.txt"
	want "state: dirty" info.txt
	run "fvdtool check overlay.fvd" 4
	before=$(sha256sum overlay.fvd)
	run "head -c 8M patch.bin >durable.bin"
	run "fvdtool read --offset 64M --length 8M overlay.fvd | cmp - durable.bin"
	run "fvdtool replay-journal -n --explain overlay.fvd"
	[ "$before" = "$(sha256sum overlay.fvd)" ] || die "a reading command changed overlay.fvd"

	say "Replay puts it into effect. Room taken for what was not flushed may be left over, which" \
		"is harmless, and check -p returns it (with status 1: mended)."
	run "fvdtool replay-journal overlay.fvd"
	run "fvdtool check -p overlay.fvd || [ \$? -eq 1 ]"
	run "fvdtool check --follow overlay.fvd"
	run "fvdtool read --offset 64M --length 8M overlay.fvd | cmp - durable.bin"
	run "rm durable.bin info.txt flushed"
}

delete_files() {
	say "Half of the larger files are deleted, and the blocks they had are zeroed: debugfs and e2fsck" \
		"do to a copy what a guest does. Then the disk is written through the engine, in place," \
		"zeros and all, as a guest does that fills its free space with zeros."
	run "fvdtool convert disk.fvd guest.fvd"
	run "cp --sparse=always disk.raw guest.raw"
	run "wc -l <deletions"
	run "debugfs -w -f deletions guest.raw >debugfs.log 2>&1"
	# The first run writes what it mends; only a run that mends nothing discards free blocks.
	run "e2fsck -fy guest.raw >e2fsck.log 2>&1 || [ \$? -eq 1 ]"
	run "e2fsck -fy -E discard guest.raw >>e2fsck.log 2>&1"
	run "fvdtool write guest.fvd guest.raw"
}

# The promise is about the image's bytes. File systems count the blocks of their own lists of
# extents as the file's too, and a file with more holes has a longer list: du may be a bit off.
compact_it() {
	local before promised freed seen

	say "Compact gives back what is zero, in place: the bytes that -n has said."
	run "fvdtool compact -n guest.fvd >promise.txt; cat promise.txt"
	promised=$(bytes_of "would free" promise.txt)
	before=$(disk_bytes guest.fvd)
	run "du -m guest.fvd"
	run "fvdtool compact guest.fvd >freed.txt; cat freed.txt"
	run "du -m guest.fvd"
	freed=$(bytes_of "freed" freed.txt)
	seen=$((before - $(disk_bytes guest.fvd)))
	((promised > 0)) || die "compact -n promised to free nothing"
	((freed == promised)) || die "compact freed $freed bytes, and -n had said $promised"
	(((seen - freed) ** 2 < (1 << 40))) ||
		die "compact says that it freed $freed bytes, and the file lost $seen"
	echo "($promised bytes promised, $freed bytes freed, and the file system counts $seen)"
	run "fvdtool check guest.fvd"
	run "rm promise.txt freed.txt"
}

check_result() {
	say "What comes out is the file system that went in, less what was deleted."
	run "fvdtool convert -O raw guest.fvd guest-back.raw"
	run "cmp guest.raw guest-back.raw"
	run "e2fsck -fn guest-back.raw"
	run "rm guest.raw debugfs.log e2fsck.log deletions"
}

command -v fvdtool >/dev/null || die "no fvdtool in $BUILD: run 'make' first"
for tool in mke2fs debugfs e2fsck; do
	command -v $tool >/dev/null || die "$tool is missing: apt-get install e2fsprogs"
done
prepare_dir
measure_source
cd "$dir"
trap stop_writer EXIT
begin=$SECONDS
echo "# In $dir, with $(fvdtool --version)"
make_disk
convert_it
change_overlay
come_back
kill_writer
replay_it
delete_files
compact_it
check_result

say "All as it should be, after $((SECONDS - begin)) seconds. The images are in $dir:"
du -m --total ./*.raw ./*.fvd ./*.bin | sed 's/\t/ MiB\t/'
