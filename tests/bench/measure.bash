# shellcheck shell=bash
# Timing and reporting for run.sh, which sets RUNS, a directory $fast for notes, and the arrays of
# a contest.
# shellcheck disable=SC2154
lines=0 missed=()

die() {
	echo "bench: $*" >&2
	exit 1
}

say() {
	echo "# $*"
}

median() {
	sort -g | awk '{ v[NR] = $1 } END {
		if (NR % 2) print v[(NR + 1) / 2]; else print (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# report NAME VALUE UNIT TARGET [REMARK]: VALUE must not be above TARGET ("": no target), or, with
# TARGET ">=N", not below it.
report() {
	local verdict='' missed_it=0

	case $4 in
	'') ;;
	'>='*) missed_it=$(awk "BEGIN { print !($2 >= ${4#>=}) }") ;;
	*) missed_it=$(awk "BEGIN { print !($2 <= $4) }") ;;
	esac
	[ -z "$4" ] || verdict="target $4$3"
	((!missed_it)) || { verdict+=", MISSED"; missed+=("$1"); }
	verdict+=${5:+${verdict:+; }$5}
	printf '%s: %s%s%s\n' "$1" "$2" "$3" "${verdict:+ ($verdict)}"
	lines=$((lines + 1))
}

# The wall time of one command in microseconds, in $took. What it says is shown if it fails.
clock() {
	local begin=${EPOCHREALTIME/./}

	eval "$1" >"$log" 2>&1 </dev/null || { cat "$log" >&2; die "failed: $1"; }
	took=$((${EPOCHREALTIME/./} - begin))
}

# What the command before has left to write, or to discard, is not the next one's to wait for.
settle() {
	sync
	sleep 0.5
}

# contest NAME: the commands are in cmd[] (0 is ours), what goes before each in prep[], the targets
# in target[], the peers' names in peer[]. Prints one line for each peer.
contest() {
	local round i j n=${#cmd[@]} took log=$fast/log ratios

	for ((i = 0; i < n; i++)); do : >"$fast/times.$i"; done
	for ((round = 0; round <= RUNS; round++)); do
		for ((j = 0; j < n; j++)); do
			i=$((round % 2 ? n - 1 - j : j))
			eval "${prep[i]}"
			[[ $1 != *disk* ]] || settle
			clock "${cmd[i]}"
			((round == 0)) || echo "$took" >>"$fast/times.$i"
		done
	done
	eval "${prep[0]}"
	for ((i = 1; i < n; i++)); do
		ratios=$(paste "$fast/times.0" "$fast/times.$i" | awk '{ print $1 / $2 }')
		report "$1-vs-${peer[i]}" "$(median <<<"$ratios" | awk '{ printf "%.2f", $1 }')" '' \
			"${target[i]}" "$(median <"$fast/times.0" | to_ms), ${peer[i]} $(median \
				<"$fast/times.$i" | to_ms), $RUNS rounds"
	done
}

to_ms() {
	awk '{ if ($1 < 100000) printf "%.1f ms", $1 / 1000; else printf "%.0f ms", $1 / 1000 }'
}

# The median of our own wall time in milliseconds.
our_ms() {
	local round took log=$fast/log

	: >"$fast/times.0"
	for ((round = 0; round <= RUNS; round++)); do
		eval "$1"
		clock "$2"
		((round == 0)) || echo "$took" >>"$fast/times.0"
	done
	median <"$fast/times.0" | awk '{ printf "%.1f", $1 / 1000 }'
}

peak_mib() {
	/usr/bin/time -f %M -o "$fast/peak" bash -c "exec $1" >"$fast/log" 2>&1 ||
		{ cat "$fast/log" >&2; die "failed: $1"; }
	awk '{ printf "%.1f", $1 / 1024 }' <(tail -n 1 "$fast/peak")
}
