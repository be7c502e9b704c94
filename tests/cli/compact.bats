load helper

# a.fvd: 32 MiB of which every second MiB has been written and then zeroed.
half_garbage() {
	random r 32M
	fvdtool create -q "$@" a.fvd 32M
	fvdtool write -q a.fvd r
	for ((i = 0; i < 32; i += 2)); do
		dd if=/dev/zero of=r bs=1M seek=$i count=1 conv=notrunc status=none
		head -c 1M /dev/zero | fvdtool write -q --offset ${i}M a.fvd
	done
}

@test "what reads as zero is given back, and the content stays" {
	half_garbage
	run -0 fvdtool compact a.fvd
	[[ $output == "a.fvd: freed "* ]]
	[[ $(du -k a.fvd | cut -f1) -lt 16800 ]]
	fvdtool read -q a.fvd | cmp - r
	[[ $(field a.fvd chunks-allocated) == 16 ]]
	run -0 fvdtool check a.fvd
}

@test "-n changes nothing and names the exact number of bytes" {
	half_garbage
	before=$(sha a.fvd)
	run -0 fvdtool compact -n --output=json a.fvd
	would=$(json .freed)
	[[ $(sha a.fvd) == "$before" && $would -ge 16000000 ]]
	used=$(stat -c '%b' a.fvd)
	run -0 fvdtool compact --output=json a.fvd
	json_is .freed "$would"
	# The file system's own blocks for the map of a more or less broken up file count too.
	freed=$(((used - $(stat -c '%b' a.fvd)) * 512))
	[[ $((freed - would)) -ge -16384 && $((freed - would)) -le 16384 ]]
}

@test "a second run has nothing left to do" {
	half_garbage
	fvdtool compact -q a.fvd
	run -0 fvdtool compact -n --output=json a.fvd
	json_is .freed 0
}

@test "zeros inside chunks that stay are punched, unless --no-punch" {
	head -c 4M /dev/zero >r
	for i in 0 1 2 3; do
		head -c 100000 /dev/urandom | dd of=r bs=1M seek=$i conv=notrunc status=none
	done
	fvdtool create -q a.fvd 4M
	fvdtool write -q a.fvd r
	cp --sparse=never a.fvd b.fvd
	used=$(du -k b.fvd | cut -f1)
	fvdtool compact -q --no-punch b.fvd
	fvdtool compact -q a.fvd
	[[ $(du -k a.fvd | cut -f1) -lt 700 ]]
	[[ $(du -k b.fvd | cut -f1) -ge 4096 && $(du -k b.fvd | cut -f1) -le $used ]]
	fvdtool read -q a.fvd | cmp - r
	fvdtool read -q b.fvd | cmp - r
}

@test "--against-base drops blocks that are equal to the base" {
	random base.raw 8M
	fvdtool create -q -b base.raw a.fvd
	fvdtool write -q a.fvd base.raw
	random r 100000
	fvdtool write -q --offset 3M a.fvd r
	[[ $(field a.fvd blocks-local) == 128 ]]
	run -0 fvdtool compact --against-base a.fvd
	[[ $(field a.fvd blocks-local) == 2 ]]
	dd if=r of=base.raw bs=1M seek=3 conv=notrunc status=none
	fvdtool read -q --ignore-base-change a.fvd | cmp - base.raw
	run -0 fvdtool check a.fvd
}

@test "killed at any moment it leaves the content, and a second run finishes" {
	half_garbage --chunk-size 64K
	cp a.fvd keep.fvd
	for delay in 0.001 0.003 0.006 0.01 0.02 0.04; do
		cp keep.fvd a.fvd
		fvdtool compact -q a.fvd &
		pid=$!
		sleep $delay
		kill -9 $pid 2>/dev/null || true
		wait $pid || true
		fvdtool read -q a.fvd | cmp - r
		# Garbage may be left, damage may not.
		run --separate-stderr fvdtool check -p --output=json a.fvd
		json_is '.left.damage + .left.dirty' 0
		fvdtool compact -q a.fvd
		fvdtool check a.fvd
		fvdtool read -q a.fvd | cmp - r
	done
	[[ $(du -k a.fvd | cut -f1) -lt 16800 ]]
}

@test "what is no image, locked or of revision 1 is refused and untouched" {
	random junk 10000
	run -1 fvdtool compact junk
	[[ $output == *"junk: not an FVD image" ]]
	zstd -qdo a.fvd "$FIXTURES/s-b1-compact.fvd.zst"
	before=$(sha a.fvd)
	run -1 fvdtool compact a.fvd
	[[ $output == *"revision 1"* && $(sha a.fvd) == "$before" ]]
}

@test "option rules" {
	check_args <<-END
		0 compact a
		0 compact -n --against-base --no-punch --ignore-base-change a
		2 compact
		2 compact a b
		2 compact --undo u a
	END
}
