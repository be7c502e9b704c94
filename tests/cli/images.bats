#!/usr/bin/env bats
# Every recipe of tests/images: its verdict, what mending does, and that undo undoes it.
load helper

# each FUNCTION: call it with NAME LOOK PREEN REPAIR CODE... for every recipe, on a new disk.fvd.
each() {
	local recipe name made verdict bad=0

	for recipe in "$ROOT"/tests/images/*; do
		name=${recipe##*/}
		[[ $name != README && $name != recipe.bash ]] || continue
		read -ra verdict <<<"$(sed -n 's/^# verdict: //p' "$recipe")"
		made=$BATS_FILE_TMPDIR/$name
		if [[ ! -d $made ]]; then
			mkdir "$made"
			(cd "$made" && bash "$ROOT/tests/images/recipe.bash" "$name" disk.fvd) ||
				return 1
		fi
		rm -f disk.fvd disk.undo
		cp "$made"/* .
		"$1" "$name" "${verdict[@]}" || {
			echo "in recipe $name"
			cat out
			bad=1
		}
	done
	return $bad
}

# status WANT ARGUMENT...: run the tool into ./out.
status() {
	local want=$1 have=0

	shift
	fvdtool "$@" >out 2>&1 || have=$?
	((have == want)) || {
		echo "status $have, not $want: fvdtool $*"
		return 1
	}
}

look() {
	local code before

	before=$(sha disk.fvd)
	status "$2" check disk.fvd || return 1
	[[ $(sha disk.fvd) == "$before" ]] || return 1
	shift 4
	fvdtool check --output=json disk.fvd >out 2>/dev/null || true
	for code; do
		jq -e --arg code "$code" '.findings | any(.code == $code)' out >/dev/null || {
			echo "no finding $code"
			return 1
		}
	done
}

@test "check finds the defect of every damaged image and writes nothing" {
	each look
}

preen() {
	local before

	before=$(sha disk.fvd)
	status "$3" check -p disk.fvd || return 1
	case $3 in
	1) status 0 check disk.fvd ;;
	*) [[ $(sha disk.fvd) == "$before" ]] ;;
	esac
}

@test "check -p mends what is safe and leaves the rest untouched" {
	each preen
}

repair() {
	local before

	before=$(sha disk.fvd)
	status "$4" check -y --undo disk.undo disk.fvd || return 1
	if (($4 == 1)); then
		status 0 check disk.fvd || return 1
		[[ $(fvdtool check --output=json disk.fvd | jq '.findings | length') == 0 ]] ||
			return 1
	fi
	if [[ -e disk.undo ]]; then
		status 0 undo disk.undo disk.fvd || return 1
	fi
	[[ $(sha disk.fvd) == "$before" ]]
}

@test "check -y mends the rest, and undo brings the old bytes back" {
	each repair
}

reads() {
	local have=0

	for command in info "read --length 1M" "replay-journal -n --explain" "convert -O raw"; do
		# shellcheck disable=SC2086 # words
		case $command in
		convert*) timeout 20 fvdtool $command disk.fvd out.raw >out 2>&1 || have=$? ;;
		*) timeout 20 fvdtool $command disk.fvd >out 2>&1 || have=$? ;;
		esac
		((have < 32)) || {
			echo "status $have: fvdtool $command disk.fvd"
			return 1
		}
	done
	rm -f out.raw
}

@test "no command crashes or hangs on a damaged image" {
	each reads
}
