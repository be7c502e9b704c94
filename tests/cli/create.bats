load helper

@test "the default image is compact with a journal of 16 MiB" {
	run -0 fvdtool create a.fvd 10G
	[[ $output == "a.fvd: 10 GiB, compact, chunks of 1 MiB, journal 16 MiB" ]]
	run -0 fvdtool info --output=json a.fvd
	json_is '."virtual-size"' 10737418240
	json_is '."cluster-size"' 1048576
	json_is '."format-specific".data.layout' compact
	json_is '."format-specific".data."journal-size"' 16777216
	json_is '."format-specific".data."chunks-allocated"' 0
	fvdtool check a.fvd
}

@test "a new image reads as zeros" {
	for options in "" "--no-table" "--journal-size 0" "--chunk-size 4K --journal-size 4K"; do
		# shellcheck disable=SC2086
		fvdtool create -q --force $options a.fvd 3M
		fvdtool read -q a.fvd | cmp - <(head -c 3M /dev/zero)
		fvdtool check a.fvd
	done
}

@test "an existing file is refused and left alone, --force replaces it" {
	echo precious >a.fvd
	run -1 fvdtool create a.fvd 1M
	[[ $output == *"a.fvd"*"exists; --force replaces it" ]]
	[[ $(cat a.fvd) == precious ]]
	nothing_left
	fvdtool create --force a.fvd 1M
	fvdtool info a.fvd
}

@test "the size comes from the base when it is left out" {
	sparse base.raw 5000000 0
	run -0 fvdtool create --output=json -b base.raw a.fvd
	json_is '."virtual-size"' 5000192
	json_is '."backing-filename"' base.raw
	fvdtool read -q --length 5000000 a.fvd | cmp - base.raw
}

@test "a disk may be longer or shorter than its base" {
	random base.raw 3M
	fvdtool create -q -b base.raw long.fvd 5M
	fvdtool read -q long.fvd | cmp - <(cat base.raw; head -c 2M /dev/zero)
	fvdtool create -q -b base.raw short.fvd 1M
	fvdtool read -q short.fvd | cmp - <(head -c 1M base.raw)
}

@test "a base must exist unless --no-base-check is given" {
	run -1 fvdtool create -b absent.raw a.fvd 1M
	[[ $output == *"absent.raw"* ]]
	[[ ! -e a.fvd ]]
	nothing_left
	fvdtool create -q -b absent.raw --no-base-check a.fvd 1M
	run -0 fvdtool info --output=json a.fvd
	json_is '."backing-filename"' absent.raw
}

@test "the base is found beside the image, not in the working directory" {
	mkdir sub
	random sub/base.raw 1M
	fvdtool create -q -b base.raw sub/a.fvd
	fvdtool read -q sub/a.fvd | cmp - sub/base.raw
}

@test "an FVD base wants its format said" {
	fvdtool create -q base.fvd 1M
	run -1 fvdtool create -b base.fvd a.fvd
	[[ $output == *"-F fvd"* ]]
	[[ ! -e a.fvd ]]
	fvdtool create -q -b base.fvd -F fvd a.fvd
	run -0 fvdtool info --output=json a.fvd
	json_is '."backing-filename-format"' fvd
}

@test "64 TiB take less than a MiB" {
	run -0 fvdtool create a.fvd 64T
	[[ $(du -k a.fvd | cut -f1) -lt 1024 ]]
	fvdtool check a.fvd
	run -0 fvdtool info --output=json a.fvd
	json_is '."virtual-size"' 70368744177664
}

@test "sizes past the format's bounds are refused with the bound" {
	run -2 fvdtool create a.fvd 8E
	[[ $output == *"8E"*"2^63-1"* ]]
	run -1 fvdtool create --chunk-size 4K a.fvd 1P
	[[ $output == *"chunk"* ]]
	[[ ! -e a.fvd ]]
	nothing_left
}

@test "--detect-zeroes marks the base's zero blocks as local" {
	sparse base.raw 16M 0 8M
	fvdtool create -q -b base.raw --detect-zeroes a.fvd
	fvdtool create -q -b base.raw plain.fvd
	[[ $(field plain.fvd blocks-local) == 0 ]]
	# 100000 bytes at two places touch two blocks of 64 KiB each.
	[[ $(field a.fvd blocks-local) == 252 ]]
	fvdtool read -q a.fvd | cmp - base.raw
}

@test "--data-file keeps the data apart, and must be new" {
	random r 1M
	fvdtool create -q --data-file a.dat a.fvd 4M
	fvdtool write -q a.fvd r
	[[ $(stat -c %s a.dat) -ge 1048576 ]]
	fvdtool read -q --length 1M a.fvd | cmp - r
	run -1 fvdtool create --data-file a.dat b.fvd 4M
	[[ $output == *"a.dat"* && ! -e b.fvd ]]
}

@test "an image is not its own base" {
	fvdtool create -q a.fvd 1M
	run -1 fvdtool create --force -b a.fvd -F fvd a.fvd
	fvdtool info a.fvd
}

@test "option rules" {
	check_args <<-END
		0 create a 1M
		0 create a 512
		0 create a 1.5G
		0 create -b base a
		0 create -b base -F fvd a 1G
		0 create --no-table --journal-size 0 a 1M
		0 create --chunk-size 4K --block-size 512 --journal-size 8K --grow-unit 1M a 1M
		0 create -b base --detect-zeroes --copy-on-read --prefetch-delay 5 a
		0 create -b base --prefetch-delay -1 a
		0 create -b base --no-base-check a 1M
		0 create --data-file d --output json -q -p --no-sync --force a 1M
		2 create
		2 create a
		2 create a 1M extra
		2 create a 0
		2 create a 511
		2 create a 1000
		2 create a -1M
		2 create a 1X
		2 create a 1.3
		2 create a 99999999999999999999
		2 create --no-base-check -b base a
		2 create --no-base-check a 1M
		2 create -F raw a 1M
		2 create -F qcow2 -b base a 1M
		2 create --detect-zeroes a 1M
		2 create --detect-zeroes --no-base-check -b base a 1M
		2 create --chunk-size 3M a 1M
		2 create --chunk-size 2K a 1M
		2 create --block-size 256 a 1M
		2 create --block-size 768 a 1M
		2 create --journal-size 1000 a 1M
		2 create --grow-unit 5 a 1M
		2 create --no-table --chunk-size 1M a 1M
		2 create --prefetch-delay -2 a 1M
		2 create --prefetch-delay soon a 1M
		2 create --output yaml a 1M
		2 create a 1M --base
	END
}
