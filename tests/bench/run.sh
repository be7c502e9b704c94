#!/usr/bin/env bash
# shellcheck disable=SC1091,SC2034,SC2154
# Compare with qemu-img and cp. The commands of one comparison run in turn, in changing order, after
# a round that does not count. A line "NAME: RATIO" is the median over the rounds of our wall time
# divided by the peer's in the same round; other figures carry their unit. On disk every side ends
# in a sync. Takes some minutes; images go to $BUILD/bench and to a tmpfs, and are removed.
#
# RUNS=5            rounds that count
# DATA_MIB=1400     how much of /usr goes into the file system, at most
# DISK_GIB=4        size of the file system
# BENCH_DIR=        a directory on a disk (default $BUILD/bench)
# BENCH_TMPFS=      a directory on a tmpfs (default below /dev/shm)
# ONLY=REGEX        names of the parts to run: convert compact memory metadata check journal
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$here/build}
RUNS=${RUNS:-5}
DATA_MIB=${DATA_MIB:-1400}
DISK_GIB=${DISK_GIB:-4}
ONLY=${ONLY:-.}
disk=${BENCH_DIR:-$BUILD/bench}/bench.$$
fast=${BENCH_TMPFS:-/dev/shm}/fvdtool-bench.$$
PATH=$BUILD:$BUILD/tests/bench:$PATH:/usr/sbin:/sbin
export LC_ALL=C
# What looks unused is read there, and the other way round.
. "$here/tests/bench/measure.bash"

# Everything at once is never needed, so each part makes what it needs and removes it.
clean_up() {
	rm -rf -- "$disk" "$fast"
}

free_mib() {
	df -Pk "$1" | awk 'NR == 2 { print int($4 / 1024) }'
}

# room DIRECTORY MIB PART
room() {
	local free

	free=$(free_mib "$1")
	((free >= $2)) && return
	say "skipped: $3 needs $2 MiB in $1, and there are $free (DATA_MIB= makes it smaller)"
	return 1
}

wanted() {
	[[ $1 =~ $ONLY ]]
}

describe() {
	local cpu

	cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
	say "$(nproc) processors (${cpu:-$(uname -m)})," \
		"$(awk '/^MemTotal/ { print int($2 / 1048576 + 0.5) }' /proc/meminfo) GiB of memory," \
		"Linux $(uname -r | cut -d- -f1)"
	say "disk: $(stat -f -c %T "$disk") ($(free_mib "$disk") MiB free)," \
		"tmpfs: $(stat -f -c %T "$fast") ($(free_mib "$fast") MiB free)"
	say "$(fvdtool --version), $(qemu-img --version | head -n 1)," \
		"$(cp --version | head -n 1)"
	[ "$(stat -f -c %T "$fast")" = tmpfs ] ||
		say "$fast is not on a tmpfs: lines that say tmpfs do not mean it (BENCH_TMPFS=)"
	[ "$(stat -f -c %T "$disk")" != tmpfs ] ||
		say "$disk is on a tmpfs: lines that say disk do not mean it (BENCH_DIR=)"
	say "load average: $(cut -d' ' -f1-3 /proc/loadavg)"
}

# An even sample over all files of /usr by name, of about DATA_MIB.
sample_usr() {
	(cd /usr && find . -xdev -type f -readable -links 1 ! -name '*["\]*' \
		-printf '%s\t%P\n' 2>/dev/null | sort -t$'\t' -k2) >"$fast/all" || true
	awk -F'\t' -v want="$((DATA_MIB << 20))" '
		{ size[NR] = $1 + 2048; name[NR] = $2; total += size[NR] }
		END {
			share = total > want ? want / total : 1
			for (i = 1; i <= NR; i++) {
				due += size[i] * share
				if (got + size[i] / 2 <= due) { got += size[i]; print name[i] }
			}
		}' "$fast/all" >"$fast/list"
}

# $fast/disk.raw, and disk.fvd and disk.qcow2 of the same content.
make_images() {
	say "making a file system of $DISK_GIB GiB"
	sample_usr
	mkdir "$fast/tree"
	tar -C /usr --ignore-failed-read -T "$fast/list" -cf - 2>/dev/null |
		tar -C "$fast/tree" -xf -
	mke2fs -q -F -t ext4 -d "$fast/tree" "$fast/disk.raw" "${DISK_GIB}G" >/dev/null
	rm -rf "$fast/tree" "$fast/all"
	fvdtool convert -q -f raw "$fast/disk.raw" "$fast/disk.fvd"
	qemu-img convert -f raw -W -m 16 -O qcow2 "$fast/disk.raw" "$fast/disk.qcow2"
	say "it holds $(wc -l <"$fast/list") files of /usr, and takes" \
		"$(du -m "$fast/disk.raw" | cut -f1) MiB"
}

# bench_convert PLACE DIRECTORY SYNC: both directions, each against two peers.
bench_convert() {
	local d=$2 sync=$3 cmd prep target peer

	peer=(us qemu cp)
	prep=("rm -f $d/out" "rm -f $d/out" "rm -f $d/out")
	target=('' 0.80 1.00)
	cmd=("fvdtool convert -f raw $d/disk.raw $d/out"
		"qemu-img convert -f raw -W -m 16 -O qcow2 $d/disk.raw $d/out$sync"
		"cp --sparse=always $d/disk.raw $d/out$sync")
	contest "convert-raw-to-fvd-$1"
	cmd=("fvdtool convert -O raw $d/disk.fvd $d/out"
		"qemu-img convert -f qcow2 -W -m 16 -O raw $d/disk.qcow2 $d/out$sync"
		"cp --sparse=always $d/disk.raw $d/out$sync")
	contest "convert-fvd-to-raw-$1"
}

# The images on the disk, read once: what the page cache holds is not the disk's speed to read.
images_to_disk() {
	cp --sparse=always "$fast"/disk.* "$disk"
	sync "$disk"/*
	cat "$disk"/disk.* >/dev/null
}

# The blocks of every second file become zeros in place: written ones, that take as much room as what
# they replace, in an FVD image (half.fvd) and in a qcow2 image (half.qcow2).
make_garbage() {
	awk 'NR % 2 { printf "rm \"/%s\"\n", $0 }' "$fast/list" >"$fast/deletions"
	cp --sparse=always "$fast/disk.raw" "$fast/less.raw"
	debugfs -w -f "$fast/deletions" "$fast/less.raw" >"$fast/log" 2>&1
	e2fsck -fy "$fast/less.raw" >"$fast/log" 2>&1 || [ $? -eq 1 ]
	# Only a run that mends nothing discards free blocks.
	e2fsck -fy -E discard "$fast/less.raw" >"$fast/log" 2>&1
	disks freed "$fast/disk.raw" "$fast/less.raw" >"$fast/freed"
	rm "$fast/less.raw" "$fast/deletions"
	awk '{ print "write -q -P 0 " $1 " " $2 } END { print "flush" }' "$fast/freed" \
		>"$fast/zeros"
	mv "$fast/disk.qcow2" "$fast/half.qcow2"
	qemu-io -f qcow2 "$fast/half.qcow2" <"$fast/zeros" >"$fast/log"
	mv "$fast/disk.raw" "$fast/half.raw"
	qemu-io -f raw "$fast/half.raw" <"$fast/zeros" >"$fast/log"
	fvdtool convert -q -S 0 -f raw "$fast/half.raw" "$fast/half.fvd"
	rm "$fast/half.raw"
	say "garbage: $(awk '{ n += $2 } END { print int(n / 1048576) }' "$fast/freed") MiB in" \
		"$(wc -l <"$fast/freed") places"
}

# bench_compact PLACE DIRECTORY SYNC
bench_compact() {
	local d=$2 sync=$3 cmd prep target peer

	peer=(us qemu-copying-out)
	# Else cp makes holes of the zeros that are to be found.
	prep=("cp --sparse=never $d/half.fvd $d/work.fvd; sync $d/work.fvd" "rm -f $d/out $d/work.fvd")
	target=('' 0.50)
	cmd=("fvdtool compact $d/work.fvd"
		"qemu-img convert -f qcow2 -W -m 16 -O qcow2 $d/half.qcow2 $d/out$sync")
	contest "compact-half-garbage-$1"
	rm -f "$d/work.fvd" "$d/out"
}

bench_memory() {
	report peak-memory-convert-raw-to-fvd \
		"$(peak_mib "fvdtool convert -f raw $fast/disk.raw $fast/out")" " MiB" 32
	report peak-memory-convert-fvd-to-raw \
		"$(peak_mib "fvdtool convert -O raw $fast/disk.fvd $fast/out")" " MiB" 32
	report peak-memory-convert-verify \
		"$(peak_mib "fvdtool convert --verify -f raw $fast/disk.raw $fast/out")" " MiB" 32
	report peak-memory-compact "$(peak_mib "fvdtool compact $fast/out")" " MiB" 32
	rm -f "$fast/out"
}

# bench_metadata PLACE DIRECTORY
bench_metadata() {
	local d=$2 cmd prep target peer

	report "create-64tib-$1" "$(our_ms "rm -f $d/big.fvd" "fvdtool create $d/big.fvd 64T")" \
		" ms" 20
	report "create-64tib-disk-use-$1" "$(du -k "$d/big.fvd" | awk '{ printf "%.2f", $1 / 1024 }')" \
		" MiB" 1
	rm "$d/big.fvd"
	fvdtool create -q "$d/1t.fvd" 1T
	qemu-img create -q -f qcow2 "$d/1t.qcow2" 1T
	report "info-1tib-$1" "$(our_ms : "fvdtool info $d/1t.fvd")" " ms" 5
	peer=(us qemu) prep=(: :) target=('' 0.50)
	cmd=("fvdtool info $d/1t.fvd" "qemu-img info $d/1t.qcow2")
	contest "info-1tib-$1"
	rm "$d/1t.fvd" "$d/1t.qcow2"
}

# Both images hold the same 1 GiB: 16384 pieces of 64 KiB over 1 TiB.
bench_check() {
	local cmd prep target peer

	disks scatter "$fast/1t.raw" $((1 << 40)) $((64 << 10)) $((16 << 10))
	fvdtool convert -q -f raw "$fast/1t.raw" "$fast/1t.fvd"
	fvdtool convert -q --chunk-size 64K -f raw "$fast/1t.raw" "$fast/1t-64k.fvd"
	qemu-img convert -f raw -W -m 16 -O qcow2 "$fast/1t.raw" "$fast/1t.qcow2"
	rm "$fast/1t.raw"
	peer=(us qemu) prep=(: :) target=('' 0.20)
	cmd=("fvdtool check $fast/1t.fvd" "qemu-img check -f qcow2 $fast/1t.qcow2")
	contest check-1tib-scattered-tmpfs
	# Sixteen million table entries, which is not what one gets by default.
	target=('' '')
	cmd=("fvdtool check $fast/1t-64k.fvd" "qemu-img check -f qcow2 $fast/1t.qcow2")
	contest check-1tib-scattered-chunks-of-64k-tmpfs
	report peak-memory-check-1tib "$(peak_mib "fvdtool check $fast/1t.fvd")" " MiB" 32
	if room "$disk" 2600 "check on the disk"; then
		mv "$fast/1t.fvd" "$fast/1t.qcow2" "$disk"
		target=('' 0.20)
		cmd=("fvdtool check $disk/1t.fvd" "qemu-img check -f qcow2 $disk/1t.qcow2")
		contest check-1tib-scattered-disk
	fi
	rm -f {"$fast","$disk"}/1t*.*

	fvdtool create -q "$fast/64t.fvd" 64T
	journal write "$fast/64t.fvd" 50000 >"$fast/log"
	report check-64tib "$(our_ms : "fvdtool check $fast/64t.fvd")" " ms" 1000 \
		"50000 of 131072 chunks in use"
	rm "$fast/64t.fvd"
	fvdtool create -q --chunk-size 1M "$fast/64t.fvd" 64T
	journal write "$fast/64t.fvd" 50000 >"$fast/log"
	report check-64tib-chunks-of-1m "$(our_ms : "fvdtool check $fast/64t.fvd")" " ms" 1000 \
		"a table of 256 MiB"
	rm "$fast/64t.fvd"
}

# A number out of what "journal write" prints.
counted() {
	awk -v name="$1" '$1 == name { print $2 }' "$fast/counts"
}

per_write() {
	awk -v a="$(counted "$1")" -v n="$2" 'BEGIN { printf "%.2f", a / n }'
}

# traced COUNT: system calls of COUNT writes, each flushed, as "writes syncs".
traced() {
	rm -f "$fast/count.fvd"
	fvdtool create -q "$fast/count.fvd" 1T
	strace -f -o "$fast/trace" -e trace=pwrite64,pwritev,pwritev2,write,fdatasync,fsync \
		journal write "$fast/count.fvd" "$1" flush >"$fast/counts"
	awk '/(pwrite64|pwritev|pwritev2)\(/ { w++ } /(fdatasync|fsync)\(/ { s++ }
		END { print w, s }' "$fast/trace"
}

bench_journal() {
	local place d

	fvdtool create -q --chunk-size 4K "$fast/full.fvd" 1G
	journal fill "$fast/full.fvd"
	for place in tmpfs disk; do
		d=$fast
		[ $place = tmpfs ] || d=$disk
		[ "$d" = "$fast" ] || cp "$fast/full.fvd" "$d"
		report "replay-full-16mib-journal-$place" \
			"$(our_ms "cp $d/full.fvd $d/replayed.fvd; sync $d/replayed.fvd" \
				"fvdtool replay-journal $d/replayed.fvd")" " ms" 100
	done
	report peak-memory-replay "$(peak_mib "fvdtool replay-journal -n $fast/full.fvd")" " MiB" 32
	rm -f {"$fast","$disk"}/{full,replayed}.fvd

	fvdtool create -q "$fast/count.fvd" 1T
	journal write "$fast/count.fvd" 50000 >"$fast/counts"
	report journal-table-updates-per-journal-write \
		"$(awk -v a="$(counted table_updates)" -v b="$(counted journal_writes)" \
			'BEGIN { printf "%.0f", a / b }')" '' '>=1000' "50000 writes, no flush"
	rm "$fast/count.fvd"

	fvdtool create -q "$fast/count.fvd" 1T
	journal write "$fast/count.fvd" 1000 flush >"$fast/counts"
	report journal-data-writes-per-flushed-write "$(per_write data_writes 1000)" '' 1.00
	report journal-writes-per-flushed-write "$(per_write journal_writes 1000)" '' 1.00
	report journal-syncs-per-flushed-write \
		"$(awk -v a="$(counted syncs)" -v b="$(counted data_syncs)" \
			'BEGIN { printf "%.2f", (a + b) / 1000 }')" '' 1.01 "the opening's among them"
	if command -v strace >/dev/null; then
		read -r w1 s1 < <(traced 500)
		read -r w2 s2 < <(traced 1500)
		report traced-writes-per-flushed-write \
			"$(awk "BEGIN { printf \"%.2f\", ($w2 - $w1) / 1000 }")" '' 2.00 \
			"one of data, one of the journal"
		report traced-syncs-per-flushed-write \
			"$(awk "BEGIN { printf \"%.2f\", ($s2 - $s1) / 1000 }")" '' 1.00
	else
		say "skipped: no strace to count system calls with"
	fi
	rm -f "$fast/count.fvd"
}

for tool in fvdtool disks journal qemu-img qemu-io mke2fs debugfs e2fsck; do
	command -v $tool >/dev/null || die "$tool is missing: run 'make bench'"
done
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$disk" "$fast"
begin=$SECONDS
describe
wanted metadata && { bench_metadata tmpfs "$fast"; bench_metadata disk "$disk"; }
wanted journal && bench_journal
wanted check && room "$fast" 4500 check && bench_check

if { wanted convert || wanted memory || wanted compact; } &&
	room "$fast" $((5 * DATA_MIB)) "convert, memory and compact"; then
	make_images
	! wanted convert || bench_convert tmpfs "$fast" ''
	! wanted memory || bench_memory
	rm -f "$fast/out"
	if wanted convert && room "$disk" $((5 * DATA_MIB)) "convert on the disk"; then
		images_to_disk
		# fvdtool syncs what it has written before it ends; the others do not.
		bench_convert disk "$disk" " && sync $disk/out"
		rm -f "$disk"/*
	fi
	if wanted compact; then
		make_garbage
		bench_compact tmpfs "$fast" ''
		if room "$disk" $((5 * DATA_MIB)) "compact on the disk"; then
			mv "$fast/half.fvd" "$fast/half.qcow2" "$disk"
			cat "$disk"/half.* >/dev/null
			bench_compact disk "$disk" " && sync $disk/out"
		fi
	fi
fi
say "$lines figures, ${#missed[@]} that miss their target${missed[*]:+: ${missed[*]}}" \
	"($((SECONDS - begin)) s)"
