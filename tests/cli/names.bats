load helper

# Names inside images: what a stranger's image makes us open or change (FORMAT 8).

# An image in dir/ whose data file was put elsewhere, as a stranger would name it.
outside() {
	mkdir dir
	head -c 64K /dev/urandom >secret
	cp secret before
	fvdtool create -q --data-file real.dat dir/a.fvd 1M
	patch dir/a.fvd 24 2e2e2f73656372657400
}

@test "write, compact, replay and repair leave a data file outside the directory alone" {
	outside
	run -1 --separate-stderr fvdtool write --zero 4K dir/a.fvd
	[[ $stderr == *'"../secret" lies outside'*'--data-file=../secret'* ]]
	run -1 --separate-stderr fvdtool compact dir/a.fvd
	[[ $stderr == *'--data-file=../secret'* ]]
	run -8 --separate-stderr fvdtool check -y --follow dir/a.fvd
	[[ $stderr == *'--data-file=../secret'* ]]
	patch dir/a.fvd 3216 00000000
	run -8 --separate-stderr fvdtool replay-journal dir/a.fvd
	[[ $stderr == *'--data-file=../secret'* ]]
	cmp secret before
}

@test "a data file outside the directory is written when it is named" {
	outside
	run -0 fvdtool write -q --data-file=../secret --offset 8K dir/a.fvd <before
	[[ $(stat -c %s secret) -gt 65536 ]]
	fvdtool read -q --offset 8K --length 64K dir/a.fvd | cmp - before
}

@test "compact -n opens no data file that was not named" {
	fvdtool create -q --data-file b.dat b.fvd 4M
	head -c 2M /dev/zero | fvdtool write -q b.fvd
	mv b.dat elsewhere	# opening it would say so
	run -1 --separate-stderr fvdtool compact -n b.fvd
	[[ $stderr == *'--data-file=b.dat'* ]]
	mv elsewhere b.dat
	run -0 fvdtool compact -n --data-file=b.dat b.fvd
	run -0 fvdtool compact b.fvd
	[[ $(stat -c %s b.dat) == 0 ]]
}

@test "--confined refuses bases and data files outside the directory" {
	outside
	random base 1M
	fvdtool create -q -b ../base dir/o.fvd
	cp dir/o.fvd o2.fvd
	run -1 --separate-stderr fvdtool read --confined dir/a.fvd
	[[ $stderr == *secret* ]]
	run -1 --separate-stderr fvdtool read --confined dir/o.fvd
	[[ $stderr == *'"../base" lies outside'* ]]
	run -1 --separate-stderr fvdtool convert --confined -O raw dir/o.fvd out
	[[ ! -e out ]]
	run -0 fvdtool convert -q -O raw dir/o.fvd out
	cmp out base
	fvdtool create -q -b base in.fvd
	run -0 fvdtool convert -q --confined -O raw in.fvd out
}
