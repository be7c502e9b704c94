load helper

@test "every layout comes back byte for byte" {
	sparse disk.raw 20000256 0 5M 19000000
	for options in "" --no-table "--chunk-size 64K" "--chunk-size 4K --journal-size 4K" \
		"--journal-size 0" "--data-file a.dat"; do
		rm -f a.fvd a.dat
		# shellcheck disable=SC2086
		fvdtool convert -q --verify $options disk.raw a.fvd
		fvdtool check a.fvd
		fvdtool convert -q -O raw a.fvd back.raw
		cmp disk.raw back.raw
	done
}

@test "zero runs take no room, holes or not" {
	head -c 64M /dev/zero >disk.raw
	head -c 100000 /dev/urandom | dd of=disk.raw bs=1M seek=7 conv=notrunc status=none
	fvdtool convert -q disk.raw a.fvd
	[[ $(du -k a.fvd | cut -f1) -lt 300 ]]
	[[ $(field a.fvd chunks-allocated) == 1 ]]
	fvdtool convert -q -O raw a.fvd b.raw
	cmp disk.raw b.raw
	[[ $(du -k b.raw | cut -f1) -lt 200 ]]
}

@test "-S 0 stores zeros that the source stores, and keeps its holes" {
	head -c 4M /dev/zero >disk.raw
	truncate -s 8M disk.raw
	fvdtool convert -q -S 0 disk.raw a.fvd
	[[ $(field a.fvd chunks-allocated) == 4 ]]
	fvdtool convert -q -O raw a.fvd b.raw
	cmp disk.raw b.raw
}

@test "standard input and output carry raw disks" {
	sparse disk.raw 3000320 0 2M
	fvdtool convert -q - a.fvd <disk.raw
	fvdtool convert -O raw a.fvd - | cmp - disk.raw
	cat disk.raw | fvdtool convert -q -f raw - b.fvd
	fvdtool convert -O raw b.fvd - | cat | cmp - disk.raw
	fvdtool check a.fvd b.fvd
}

@test "raw is not guessed from a name that does not say so" {
	random disk 1M
	run -1 fvdtool convert disk a.fvd
	[[ $output == *"disk: "*"-f raw"* && ! -e a.fvd ]]
	fvdtool convert -q -f raw disk a.fvd
	mv disk disk.img
	fvdtool convert -q disk.img b.fvd
}

@test "a chain is flattened" {
	random base.raw 4M
	fvdtool create -q -b base.raw mid.fvd
	random r 1M
	fvdtool write -q --offset 1M mid.fvd r
	fvdtool create -q -b mid.fvd -F fvd top.fvd
	fvdtool write -q --offset 3M top.fvd r
	fvdtool read -q top.fvd want.raw
	fvdtool convert -q top.fvd flat.fvd
	rm base.raw mid.fvd top.fvd
	fvdtool read -q flat.fvd | cmp - want.raw
	cmp -n 1048576 -i 1048576:0 want.raw r
	cmp -n 1048576 -i 3145728:0 want.raw r
}

@test "with -b only what differs from the base is stored" {
	random base.raw 16M
	cp base.raw disk.raw
	head -c 100000 /dev/urandom | dd of=disk.raw bs=1M seek=5 conv=notrunc status=none
	run -0 fvdtool convert --output=json -b base.raw -F raw disk.raw a.fvd
	json_is '."virtual-size"' 16777216
	[[ $(json '."same-as-base-bytes"') -ge 16000000 ]]
	fvdtool read -q a.fvd | cmp - disk.raw
	[[ $(field a.fvd blocks-local) == 2 ]]
	[[ $(field a.fvd chunks-allocated) == 1 ]]
	fvdtool check --follow a.fvd
}

@test "zeros over data of the base are kept" {
	random base.raw 4M
	truncate -s 4M disk.raw
	fvdtool convert -q -b base.raw disk.raw a.fvd
	fvdtool read -q a.fvd | cmp - disk.raw
	[[ $(field a.fvd chunks-allocated) == 0 ]]
}

@test "--size makes the disk larger, never smaller" {
	random disk.raw 1M
	fvdtool convert -q --size 3M disk.raw a.fvd
	fvdtool read -q a.fvd | cmp - <(cat disk.raw; head -c 2M /dev/zero)
	run -1 fvdtool convert --size 512K disk.raw b.fvd
	[[ $output == *"524288"*"1048576"* && ! -e b.fvd ]]
}

@test "a failure leaves the target as it was, and nothing else" {
	echo precious >a.fvd
	run -1 fvdtool convert absent.raw a.fvd
	[[ $output == *"absent.raw"*"No such file"* ]]
	random junk.fvd 10000
	run -1 fvdtool convert -f fvd junk.fvd a.fvd
	[[ $output == *"junk.fvd: not an FVD image"* ]]
	[[ $(cat a.fvd) == precious ]]
	nothing_left
}

@test "an interrupted run leaves no partial target" {
	for signal in INT TERM HUP; do
		mkfifo in
		echo precious >a.fvd
		# A job in the background of a script ignores SIGINT, as asked by the shell.
		env --default-signal=INT fvdtool convert - a.fvd <in 2>err &
		pid=$!
		exec 8>in
		head -c 3M /dev/urandom >&8
		sleep 0.2
		kill -"$signal" "$pid"
		head -c 3M /dev/urandom >&8 2>/dev/null || true
		exec 8>&-
		status=0
		wait "$pid" || status=$?
		[[ $status == $((128 + $(kill -l "$signal"))) ]]
		grep -q interrupted err
		[[ $(cat a.fvd) == precious ]]
		nothing_left
		rm in
	done
}

@test "an interrupted run does not wait for a silent pipe" {
	mkfifo in
	env --default-signal=INT fvdtool convert - a.fvd <in 2>/dev/null &
	pid=$!
	exec 8>in
	sleep 0.3
	kill -INT "$pid"
	for ((i = 0; i < 30; i++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	run ! kill -0 "$pid"
	exec 8>&-
	nothing_left
}

@test "a target that is no regular file is refused" {
	random disk.raw 1M
	mkdir dir
	run -1 fvdtool convert disk.raw dir
	[[ $output == *"dir: "* ]]
	ln -s elsewhere link
	run -1 fvdtool convert disk.raw link
	[[ $output == *"link: "* && ! -e elsewhere && -L link ]]
	run -1 fvdtool convert disk.raw absent/a.fvd
	nothing_left
}

@test "the source is not replaced by itself in the making" {
	random disk.raw 2M
	cp disk.raw keep
	fvdtool convert -q -O raw disk.raw disk.raw || true
	cmp disk.raw keep
}

@test "a dirty source is replayed in memory and stays bit-identical" {
	random r 300000
	fvdtool create -q a.fvd 8M
	crash a.fvd 1048576 r
	before=$(sha a.fvd)
	fvdtool convert -q -O raw a.fvd b.raw
	[[ $(sha a.fvd) == "$before" ]]
	cmp -n 300000 -i 1048576:0 b.raw r
}

@test "a base that has changed is an error, unless it is to be ignored" {
	random base.raw 1M
	fvdtool create -q -b base.raw a.fvd
	sleep 0.02
	random base.raw 1M
	run -1 fvdtool convert a.fvd b.fvd
	[[ $output == *"base.raw has changed"*"--ignore-base-change"* && ! -e b.fvd ]]
	fvdtool convert -q --ignore-base-change a.fvd b.fvd
}

@test "the JSON report adds up" {
	sparse disk.raw 8M 0 4M
	run -0 fvdtool convert --verify --output=json disk.raw a.fvd
	json_is .filename a.fvd
	json_is .format fvd
	json_is '."virtual-size"' 8388608
	json_is .verified true
	json_is '."zero-bytes" + ."written-bytes" + ."same-as-base-bytes"' 8388608
}

@test "option rules" {
	check_args <<-END
		0 convert a b
		0 convert -f raw -O raw a b
		0 convert -f fvd -O fvd --chunk-size 64K a b
		0 convert - b
		0 convert -O raw a -
		0 convert -O raw - -
		0 convert -S 0 a b
		0 convert -S 64K -m 4 --verify --no-sync -U --ignore-base-change a b
		0 convert -O raw --no-sync a b
		2 convert
		2 convert a
		2 convert a b c
		2 convert a -
		2 convert -f fvd - b
		2 convert -O raw --verify a -
		2 convert -O raw --output=json a -
		2 convert -O raw -b base a b
		2 convert -O raw --chunk-size 1M a b
		2 convert -O raw --journal-size 0 a b
		2 convert -O qcow2 a b
		2 convert -f qcow2 a b
		2 convert -S 100 a b
		2 convert -S 2G a b
		2 convert -m 0 a b
		2 convert -m 17 a b
		2 convert --size 100 a b
		2 convert -F raw a b
	END
}

@test "a file size limit leaves nothing behind, and the message has the name that was asked for" {
	random r 1M
	run -1 --separate-stderr bash -c 'ulimit -f 512; fvdtool convert -f raw r a.fvd'
	[[ $stderr == "fvdtool convert: a.fvd: "*"File too large" ]]
	[[ ! -e a.fvd && -z $(find . -name '*.a.fvd*') ]]
}
