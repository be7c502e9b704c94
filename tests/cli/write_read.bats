load helper

@test "what is written at an odd offset is read back, the rest stays" {
	random base.raw 4M
	random r 123457
	fvdtool create -q -b base.raw a.fvd
	run -0 fvdtool write --offset 1000001 a.fvd r
	[[ $output == "a.fvd: "*"(123457 bytes) written at 1000001" ]]
	fvdtool read -q --offset 1000001 --length 123457 a.fvd | cmp - r
	cp base.raw want
	dd if=r of=want bs=1M seek=1000001 oflag=seek_bytes conv=notrunc status=none
	fvdtool read -q a.fvd | cmp - want
}

@test "standard input and output are the default, and so is -" {
	random r 3000000
	fvdtool create -q a.fvd 4M
	cat r | fvdtool write -q a.fvd
	fvdtool read a.fvd | cmp -n 3000000 - r
	fvdtool write -q a.fvd - <r
	fvdtool read --length 3000000 a.fvd - | cmp - r
}

@test "--flush-every prints each offset once it is durable" {
	random r 2500000
	fvdtool create -q a.fvd 8M
	run -0 --separate-stderr fvdtool write --offset 512 --flush-every 1M a.fvd r
	[[ ${lines[0]} == "durable 1049088" ]]
	[[ ${lines[1]} == "durable 2097664" ]]
	[[ ${lines[2]} == "durable 2500512" ]]
	[[ ${#lines[@]} == 4 ]]
	run -0 fvdtool write --output=json --flush-every 1M a.fvd r
	[[ ${lines[0]} == '{"durable": 1048576}' ]]
}

@test "what was told durable survives kill -9" {
	random r 700001
	fvdtool create -q a.fvd 8M
	crash a.fvd 1000000 r
	[[ $(field a.fvd clean-shutdown) == 0 ]]
	fvdtool read -q --offset 1000000 --length 700001 a.fvd | cmp - r
	run -1 fvdtool check -p a.fvd
	fvdtool read -q --offset 1000000 --length 700001 a.fvd | cmp - r
	fvdtool check a.fvd
}

@test "--zero and --discard make a range read as zero" {
	random r 4M
	for option in --zero --discard; do
		fvdtool create -q --force a.fvd 4M
		fvdtool write -q a.fvd r
		run -0 fvdtool write $option 2500000 --offset 700000 a.fvd
		{
			head -c 700000 r
			head -c 2500000 /dev/zero
			tail -c +3200001 r
		} >want
		fvdtool read -q a.fvd | cmp - want
		[[ $(field a.fvd chunks-allocated) == 2 ]]
	done
}

@test "a file that passes the end is refused before anything is written" {
	random r 2M
	fvdtool create -q a.fvd 4M
	before=$(sha a.fvd)
	run -1 fvdtool write --offset 3M a.fvd r
	[[ $output == *"r: 2097152 bytes at offset 3145728 pass the end of the disk (4194304)" ]]
	run -1 fvdtool write --offset 5M a.fvd r
	[[ $output == *"a.fvd: offset 5242880 is past the end of the disk (4194304)" ]]
	run -1 fvdtool write --zero 5M a.fvd
	[[ $output == *"5242880 bytes at offset 0 pass the end of the disk (4194304)" ]]
	run -1 fvdtool write a.fvd absent
	run -1 fvdtool write a.fvd .
	[[ $(sha a.fvd) == "$before" ]]
}

@test "a pipe that passes the end is told how much was written" {
	random r 3M
	fvdtool create -q a.fvd 2M
	run -1 bash -c 'cat r | fvdtool write a.fvd'
	[[ $output == *"after 2097152 bytes: standard input: "*"pass the end of the disk (2097152)" ]]
	fvdtool read -q a.fvd | cmp - <(head -c 2M r)
	fvdtool check a.fvd
}

@test "reads past the end are refused with value and bound" {
	fvdtool create -q a.fvd 4M
	run -1 fvdtool read --offset 3M --length 2M a.fvd out
	[[ $output == *"2097152 bytes at offset 3145728 pass the end of the disk (4194304)" ]]
	run -1 fvdtool read --offset 4194305 a.fvd out
	[[ $output == *"offset 4194305 is past the end of the disk (4194304)" ]]
	[[ ! -e out ]]
	nothing_left
	run -0 fvdtool read -q --offset 4M a.fvd out
	[[ -f out && ! -s out ]]
}

@test "reading to a file keeps holes, and replaces only when complete" {
	sparse r 4M 3M
	fvdtool create -q a.fvd 64M
	fvdtool write -q a.fvd r
	echo old >out
	run -0 fvdtool read a.fvd out
	[[ $(stat -c %s out) == 67108864 && $(du -k out | cut -f1) -lt 200 ]]
	cmp -n 4194304 out r
	nothing_left
}

@test "an interrupted write closes the image, and ends by the signal" {
	fvdtool create -q a.fvd 8M
	mkfifo in
	env --default-signal=INT fvdtool write a.fvd <in 2>err &
	pid=$!
	exec 8>in
	head -c 1M /dev/urandom >&8
	sleep 0.3
	kill -INT "$pid"
	status=0
	wait "$pid" || status=$?
	exec 8>&-
	[[ $status == 130 ]]
	grep -q interrupted err
	fvdtool check a.fvd
}

@test "writing to a base under an image is seen by the image" {
	fvdtool create -q base.fvd 4M
	fvdtool create -q -b base.fvd -F fvd a.fvd
	fvdtool write -q --zero 1 base.fvd
	random r 1000
	fvdtool write -q base.fvd r
	run -1 fvdtool read a.fvd out
	[[ $output == *"base.fvd has changed"* && ! -e out ]]
	fvdtool read -q --ignore-base-change --length 1000 a.fvd | cmp - r
}

@test "revision 1 is read, not written" {
	zstd -qdo a.fvd "$FIXTURES/s-b1-compact.fvd.zst"
	before=$(sha a.fvd)
	random r 1000
	run -1 fvdtool write a.fvd r
	[[ $output == *"a.fvd: "*"revision 1"* ]]
	[[ $(sha a.fvd) == "$before" ]]
}

@test "option rules" {
	check_args <<-END
		0 write a
		0 write a -
		0 write a f --offset 512 --flush-every 64K
		0 write --zero 1G a
		0 write --discard 1G a --offset 1
		2 write
		2 write a b c
		2 write --zero 1M a f
		2 write --discard 1M a f
		2 write --zero 1M --discard 1M a
		2 write --zero 0 a
		2 write --flush-every 0 a
		2 write --offset -1 a
		2 write --offset 1Q a
		0 read a
		0 read a f --offset 1 --length 1 --output json
		0 read -U --ignore-base-change a -
		2 read
		2 read a b c
		2 read --output json a
		2 read --output json a -
		2 read --length x a
	END
}

@test "a closed standard input is an error, not the image itself" {
	fvdtool create -q a.fvd 1G
	before=$(sha a.fvd)
	run -1 --separate-stderr bash -c 'fvdtool write a.fvd <&-'
	[[ $stderr == *"standard input"* && $(sha a.fvd) == "$before" ]]
	run -1 --separate-stderr bash -c 'fvdtool convert - b.fvd <&-'
	[[ ! -e b.fvd ]]
}
