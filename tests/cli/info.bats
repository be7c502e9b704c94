load helper

@test "the human form names layout, state, units and allocation" {
	random base.raw 3M
	random r 100000
	fvdtool create -q -b base.raw a.fvd 10M
	fvdtool write -q --offset 2M a.fvd r
	run -0 fvdtool info a.fvd
	for line in "image: a.fvd" "file format: fvd" "virtual size: 10 MiB (10485760 bytes)" \
		"layout: compact-copy-on-write" "chunk size: 1 MiB" "backing file: base.raw" \
		"backing file format: raw" "state: clean" "chunks allocated: 1 of 10 (1 MiB)" \
		"blocks local: 2 of 48 (128 KiB)" "    block size: 64 KiB (65536 bytes)" \
		"    clean shutdown: 1"; do
		[[ $'\n'$output$'\n' == *$'\n'"$line"$'\n'* ]] || { echo "no '$line'"; false; }
	done
}

@test "JSON has the key names of qemu-img" {
	random base.raw 3M
	mkdir sub
	fvdtool create -q -b ../base.raw sub/a.fvd 10M
	run -0 fvdtool info --output=json sub/a.fvd
	json_is .filename sub/a.fvd
	json_is .format fvd
	json_is '."virtual-size"' 10485760
	json_is '."cluster-size"' 1048576
	json_is '."backing-filename"' ../base.raw
	json_is '."full-backing-filename"' sub/../base.raw
	json_is '."backing-filename-format"' raw
	json_is '."dirty-flag"' false
	json_is '."format-specific".type' fvd
	[[ $(json '."actual-size"') -eq $(($(stat -c %b sub/a.fvd) * 512)) ]]
}

@test "each layout has its name" {
	random base.raw 1M
	fvdtool create -q plain.fvd --no-table 1M
	fvdtool create -q compact.fvd 1M
	fvdtool create -q cow.fvd --no-table -b base.raw
	fvdtool create -q both.fvd -b base.raw
	[[ $(field plain.fvd layout) == plain ]]
	[[ $(field compact.fvd layout) == compact ]]
	[[ $(field cow.fvd layout) == copy-on-write ]]
	[[ $(field both.fvd layout) == compact-copy-on-write ]]
}

@test "several images make an array, one that fails does not hide the others" {
	fvdtool create -q a.fvd 1M
	fvdtool create -q b.fvd 2M
	echo nonsense >c.fvd
	run -1 --separate-stderr fvdtool info --output=json a.fvd c.fvd absent b.fvd
	json_is length 4
	json_is '.[0]."virtual-size"' 1048576
	json_is '.[1].error.class' format
	json_is '.[2].error.errno' ENOENT
	json_is '.[3]."virtual-size"' 2097152
	[[ $stderr == *"c.fvd: not an FVD image"*"absent: "* ]]
}

@test "--chain goes down to the raw base" {
	random base.raw 1M
	fvdtool create -q -b base.raw mid.fvd
	fvdtool create -q -b mid.fvd -F fvd top.fvd 2M
	run -0 fvdtool info --chain --output=json top.fvd
	json_is 'map(.filename) | join(" ")' "top.fvd mid.fvd base.raw"
	json_is '.[2].format' raw
	json_is '.[2]."virtual-size"' 1048576
	run -0 fvdtool info --chain top.fvd
	[[ $output == *"image: base.raw"*"file format: raw"* ]]
}

@test "--chain ends at a cycle" {
	fvdtool create -q --no-base-check -b b.fvd -F fvd a.fvd 1M
	fvdtool create -q --no-base-check -b a.fvd -F fvd b.fvd 1M
	run -1 --separate-stderr fvdtool info --chain --output=json a.fvd
	json_is 'length' 3
	json_is '.[2].error.class' base
	[[ $stderr == *"comes back"* ]]
}

@test "--chain tells a base that is missing, and what is above it" {
	fvdtool create -q --no-base-check -b gone.raw a.fvd 1M
	run -1 --separate-stderr fvdtool info --chain a.fvd
	[[ $output == "image: a.fvd"* && $stderr == *"gone.raw"*"No such file"* ]]
	run -0 fvdtool info a.fvd
}

@test "without --chain no other file is opened" {
	mkfifo base.raw
	fvdtool create -q --no-base-check -b base.raw a.fvd 1M
	# Opening a FIFO would wait for ever, or be an error.
	run -0 timeout 5 fvdtool info a.fvd
	run -0 timeout 5 fvdtool check a.fvd
	run -0 timeout 5 fvdtool replay-journal -n a.fvd
}

@test "strings of a hostile image cannot act on the terminal" {
	fvdtool create -q --no-base-check -b $'evil\e]0;title\a\nstate: clean' a.fvd 1M
	run -0 --separate-stderr fvdtool info a.fvd
	[[ $output == *'backing file: evil\x1B]0;title\x07\x0Astate: clean'* ]]
	[[ $output != *$'\e'* ]]
	run -0 fvdtool info --output=json a.fvd
	json_is '."backing-filename"' $'evil\e]0;title\a\nstate: clean'
}

@test "a dirty image is told as such, journal included, and not changed" {
	random r 200000
	fvdtool create -q a.fvd 4M
	crash a.fvd 0 r
	before=$(sha a.fvd)
	run -0 fvdtool info --journal a.fvd
	[[ $output == *"state: dirty, the journal is replayed when it is opened"* ]]
	[[ $output == *"chunks allocated: 1 of 4"* ]]
	[[ $output == *"Journal:"*"records to apply: "[1-9]* ]]
	run -0 fvdtool info --journal --output=json a.fvd
	json_is '."dirty-flag"' true
	[[ $(json '."format-specific".data.journal."table-records"') -ge 1 ]]
	[[ $(sha a.fvd) == "$before" ]]
}

@test "a writer locks readers out, --force-share reads beside it" {
	fvdtool create -q a.fvd 4M
	mkfifo in
	fvdtool write -q a.fvd <in &
	exec 8>in
	head -c 1M /dev/zero >&8
	sleep 0.3
	run -1 fvdtool info a.fvd
	[[ $output == *"a.fvd"*"lock"* ]]
	run -0 fvdtool info --force-share a.fvd
	run -0 fvdtool info -U a.fvd
	exec 8>&-
	wait
	run -0 fvdtool info a.fvd
}
