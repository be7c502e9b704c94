load helper

@test "a sound image is clean: 0, one line, not a byte changed" {
	fvdtool create -q a.fvd 4M
	before=$(sha a.fvd)
	run -0 fvdtool check a.fvd
	[[ $output == "a.fvd: clean, 0/4 chunks" ]]
	[[ $(sha a.fvd) == "$before" ]]
}

@test "a journal to replay: 4 with -n, 1 with -p, then 0" {
	random r 300000
	fvdtool create -q a.fvd 4M
	crash a.fvd 0 r
	before=$(sha a.fvd)
	run -4 fvdtool check a.fvd
	[[ $output == *"a.fvd: dirty: "*"a.fvd: dirty, 1/4 chunks"* ]]
	[[ $output == *"fvdtool check -p a.fvd"* ]]
	run -4 fvdtool check -n a.fvd
	[[ $(sha a.fvd) == "$before" ]]
	run -1 fvdtool check -p a.fvd
	[[ $output == *"(mended)"* && $output == *"a.fvd: mended"* ]]
	run -0 fvdtool check a.fvd
	fvdtool read -q --length 300000 a.fvd | cmp - r
}

@test "a table entry past the disk is damage: named, left by -p, dropped by -y" {
	random r 2M
	fvdtool create -q a.fvd 4M
	fvdtool write -q a.fvd r
	patch a.fvd "$(($(field a.fvd table-offset) + 4))" ffffff7f
	before=$(sha a.fvd)
	run -4 fvdtool check a.fvd
	[[ $output == *"a.fvd: damage: table entry 1"* && $output == *"DAMAGED"* ]]
	run -4 fvdtool check -p a.fvd
	[[ $(sha a.fvd) == "$before" ]]
	run -1 fvdtool check -y a.fvd
	run -0 fvdtool check a.fvd
	fvdtool read -q --length 1M a.fvd | cmp - <(head -c 1M r)
	fvdtool read -q --offset 1M a.fvd | cmp - <(head -c 3M /dev/zero)
}

@test "two entries for one chunk are damage" {
	random r 2M
	fvdtool create -q a.fvd 4M
	fvdtool write -q a.fvd r
	table=$(field a.fvd table-offset)
	dd if=a.fvd of=a.fvd bs=1 skip="$table" seek=$((table + 4)) count=4 conv=notrunc status=none
	run -4 fvdtool check --output=json a.fvd
	json_is '.left.damage > 0' true
	json_is 'any(.findings[]; .code == "table-duplicate")' true
}

@test "--undo brings every byte back" {
	random r 2M
	fvdtool create -q a.fvd 4M
	fvdtool write -q a.fvd r
	patch a.fvd "$(($(field a.fvd table-offset) + 4))" ffffff7f
	before=$(sha a.fvd)
	run -1 fvdtool check -y --undo a.undo a.fvd
	[[ $(sha a.fvd) != "$before" ]]
	run -0 fvdtool undo a.undo a.fvd
	[[ $output == "a.fvd: as before, "* ]]
	[[ $(sha a.fvd) == "$before" ]]
}

@test "undo refuses what is no undo file, and another image's" {
	fvdtool create -q a.fvd 4M
	fvdtool create -q b.fvd 4M
	random r 2M
	fvdtool write -q a.fvd r
	patch a.fvd "$(($(field a.fvd table-offset) + 4))" ffffff7f
	run -1 fvdtool check -y --undo a.undo a.fvd
	before=$(sha b.fvd)
	run -1 fvdtool undo a.undo b.fvd
	run -1 fvdtool undo r b.fvd
	[[ $output == *"not an undo file"* ]]
	run -1 fvdtool undo absent b.fvd
	[[ $(sha b.fvd) == "$before" ]]
}

@test "an undo file that exists is not overwritten, and nothing is mended" {
	random r 300000
	fvdtool create -q a.fvd 4M
	crash a.fvd 0 r
	echo precious >a.undo
	before=$(sha a.fvd)
	run -8 fvdtool check -p --undo a.undo a.fvd
	[[ $output == *"a.undo"* ]]
	[[ $(sha a.fvd) == "$before" && $(cat a.undo) == precious ]]
}

@test "storage that nothing refers to is a leak, in bytes; -p returns the tail" {
	random r 1M
	fvdtool create -q a.fvd 4M
	fvdtool write -q a.fvd r
	size=$(stat -c %s a.fvd)
	cat r r >>a.fvd
	run -4 fvdtool check --output=json a.fvd
	json_is '."leaked-bytes"' 2097152
	run -4 fvdtool check a.fvd
	[[ $output == *"leak: "* && $output == *"2 MiB leaked"* ]]
	run -1 fvdtool check -p a.fvd
	[[ $(stat -c %s a.fvd) == "$size" ]]
	run -0 fvdtool check a.fvd
	fvdtool read -q --length 1M a.fvd | cmp - r
}

@test "several images: the statuses are OR-ed, each is told" {
	fvdtool create -q a.fvd 1M
	random junk 10000
	random r 300000
	fvdtool create -q b.fvd 4M
	crash b.fvd 0 r
	run -12 fvdtool check a.fvd b.fvd junk absent
	[[ $output == *"a.fvd: clean"*"b.fvd: dirty"* ]]
	[[ $output == *"fvdtool check: junk: not an FVD image"*"absent"* ]]
	run -12 --separate-stderr fvdtool check --output=json a.fvd b.fvd junk absent
	json_is length 4
	json_is '.[0].result' clean
	json_is '.[1].result' dirty
	json_is '.[2].error.class' format
	json_is '.[3].error.errno' ENOENT
}

@test "base and data file are looked at with --follow only" {
	random base.raw 1M
	fvdtool create -q -b base.raw a.fvd
	rm base.raw
	run -0 fvdtool check a.fvd
	run ! fvdtool check --follow a.fvd
	[[ $output == *"base.raw"* ]]
}

@test "a locked image is an operational error" {
	fvdtool create -q a.fvd 4M
	mkfifo in
	fvdtool write -q a.fvd <in &
	exec 8>in
	head -c 1M /dev/zero >&8
	sleep 0.3
	run -8 fvdtool check a.fvd
	[[ $output == *"a.fvd"*"lock"* ]]
	run -8 fvdtool check -p a.fvd
	run fvdtool check --force-share a.fvd
	[[ $status == 0 || $status == 4 ]]
	exec 8>&-
	wait
}

@test "garbage of any size is refused, never a crash" {
	random junk 100000
	for size in 0 1 4 511 512 7411 8192 100000; do
		head -c "$size" junk >a.fvd
		run -8 fvdtool check a.fvd
		{
			printf 'FVD\0\1\0\0\0'
			cat junk
		} | head -c "$size" >b.fvd
		run fvdtool check -y b.fvd
		[[ $status == 4 || $status == 8 ]]
	done
}

@test "option rules" {
	check_args <<-END
		0 check a
		0 check a b c
		0 check -n a
		0 check -p a b
		0 check -y --undo u a
		0 check --preen --undo u a
		0 check --follow --ignore-base-change --output=json --progress -q a
		0 check -U a
		16 check
		16 check -n -p a
		16 check -p -y a
		16 check --undo u a
		16 check -n --undo u a
		16 check -y --undo u a b
		16 check -U -p a
		16 check --ignore-base-change a
		16 check --output=xml a
		2 undo
		2 undo u
		2 undo u a b
		0 undo u a
	END
}

@test "an entry far behind the end of the file is dropped, and the file stays as long as it is" {
	random r 4M
	fvdtool convert -q -f raw r a.fvd
	patch a.fvd $(($(field a.fvd table-offset) + 8)) feffff70
	size=$(stat -c %s a.fvd)
	run -4 fvdtool check -p a.fvd
	[[ $(stat -c %s a.fvd) == "$size" && $output == *"too far beyond the file"* ]]
	run -1 fvdtool check -y a.fvd
	[[ $(stat -c %s a.fvd) -le $size ]]
	run -0 fvdtool check a.fvd
}
