load helper

COMMANDS='create convert check replay-journal compact info write read undo'

@test "without arguments the usage goes to stderr, status 2" {
	run -2 --separate-stderr fvdtool
	[[ -z $output && $stderr == "Usage: fvdtool COMMAND"* ]]
}

@test "--help lists every command on stdout" {
	run -0 --separate-stderr fvdtool --help
	[[ -z $stderr ]]
	for command in $COMMANDS; do
		[[ $output == *$'\n'"  $command "* ]]
	done
}

@test "--version names the tool and its version" {
	run -0 fvdtool --version
	[[ $output =~ ^fvdtool\ [0-9]+\.[0-9]+$ ]]
}

@test "help COMMAND is COMMAND --help" {
	for command in $COMMANDS; do
		[[ $(fvdtool help "$command") == "$(fvdtool "$command" --help)" ]]
	done
	run -2 fvdtool help nonsense
}

@test "an unknown command names the nearest one" {
	run -2 fvdtool chekc disk.fvd
	[[ $output == *"unknown command 'chekc', did you mean 'check'?"* ]]
	run -2 fvdtool replay disk.fvd
	[[ $output == *"did you mean 'replay-journal'?"* ]]
	run -2 fvdtool frobnicate
	[[ $output != *"did you mean"* ]]
}

@test "usage errors name the option, go to stderr, and point to --help" {
	for command in $COMMANDS; do
		case $command in check | replay-journal) want=16 ;; *) want=2 ;; esac
		run -"$want" --separate-stderr fvdtool "$command" --no-such-option
		[[ -z $output ]]
		[[ $stderr == "fvdtool $command: --no-such-option: unknown option"* ]]
		[[ $stderr == *"Try 'fvdtool $command --help'"* ]]
		run -"$want" fvdtool "$command"
		[[ $output == *"missing"* ]]
	done
}

@test "an error is one line with the command's name, control bytes escaped" {
	run -1 --separate-stderr fvdtool info $'no\e[31m\nfile'
	[[ $stderr == 'fvdtool info: no\x1B[31m\x0Afile: '* ]]
	[[ ${#stderr_lines[@]} == 1 ]]
}

@test "with --output=json an error is also an object on stdout" {
	run -1 --separate-stderr fvdtool convert --output=json absent.fvd x.fvd
	[[ $stderr == "fvdtool convert: absent.fvd:"* ]]
	json_is .error.class io
	json_is .error.errno ENOENT
	run -2 --separate-stderr fvdtool create --output=json x.fvd
	json_is .error.class invalid
}

@test "a full disk under stdout is an error" {
	fvdtool create -q a.fvd 1M
	run -1 --separate-stderr bash -c 'fvdtool info a.fvd >/dev/full'
	[[ $stderr == *"standard output: No space left on device"* ]]
	run -8 bash -c 'fvdtool check a.fvd >/dev/full'
	run -1 bash -c 'fvdtool --help >/dev/full'
	run -1 bash -c 'fvdtool read a.fvd >/dev/full'
}

@test "a closed pipe is no reason for a message" {
	fvdtool create -q a.fvd 64M
	run -0 --separate-stderr bash -c 'fvdtool read a.fvd | head -c 1 >/dev/null'
	[[ -z $stderr ]]
	run -0 --separate-stderr bash -c '(sleep 0.2; fvdtool info a.fvd) | true'
	[[ -z $stderr ]]
}

@test "--quiet prints nothing when all is well" {
	random r 100000
	for line in "create a.fvd 1M" "convert -f raw --size 128K r b.fvd" "info a.fvd" \
		"check a.fvd" "compact a.fvd" "write a.fvd r" "read a.fvd out" \
		"replay-journal a.fvd"; do
		# shellcheck disable=SC2086
		run -0 fvdtool ${line%% *} --quiet ${line#* }
		[[ -z $output ]]
	done
}

@test "options stand before, between and behind operands; -- ends them" {
	fvdtool create -q --no-table a.fvd 1M
	fvdtool create b.fvd 1M -q
	fvdtool create -q -- --odd 1M
	[[ -f ./--odd ]]
}

@test "an argument follows --progress only behind a '='" {
	check_args <<-END
		0 convert --progress a b
		2 convert --progress json a b
		0 convert --progress=json a b
		2 convert --progress=xml a b
		0 convert -p a b
		16 check -p=json a
		0 check --progress -p a
	END
}

@test "--progress prints lines, --progress=json JSON lines, on stderr" {
	sparse r.raw 256M 0 100M 200M
	run -0 --separate-stderr fvdtool convert --progress r.raw a.fvd
	[[ $stderr == *"100%"* && $output == "a.fvd: "* ]]
	run -0 --separate-stderr fvdtool convert --progress=json r.raw b.fvd
	output=${stderr_lines[-1]}
	json_is .progress.command convert
	json_is .progress.percent 100
	json_is .progress.done 268435456
	json_is .progress.total 268435456
}

@test "SIGUSR1 prints one line" {
	fvdtool create -q a.fvd 64M
	mkfifo in
	fvdtool write a.fvd <in 2>err &
	pid=$!
	exec 8>in
	head -c 1M /dev/zero >&8
	sleep 0.3
	kill -USR1 "$pid"
	head -c 1M /dev/zero >&8
	exec 8>&-
	wait "$pid"
	grep -q '^write: ' err
	[[ $(wc -l <err) == 1 ]]
}
