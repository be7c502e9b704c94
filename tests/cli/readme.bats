# The tour in README is true: its commands work, and what it shows of their output is there.
load helper

# The section of README from the heading $1 to the next heading.
section() {
	awk -v want="$1" '
		/^-+$/ { inside = previous == want; previous = ""; next }
		{ if (inside && seen) print previous; previous = $0; seen = inside }' "$ROOT/README"
}

# Runs one command in this shell's directory, and looks for the lines that README shows after it,
# in their order.
step() {
	local command=$1 line at=0 shown=("${@:2}")

	[[ -n $command ]] || return 0
	echo "\$ $command"
	bash -c "$command" >output 2>&1 3>&- || {
		echo "ended with status $?"
		cat output
		return 1
	}
	for line in "${shown[@]}"; do
		at=$(awk -v from="$at" -v line="$line" \
			'NR > from && $0 == line { print NR; exit }' output)
		[[ -n $at ]] || {
			echo "README shows '$line', and it printed:"
			cat output
			return 1
		}
	done
}

@test "the commands of README's tour do what it says" {
	local line command='' shown=() count=0

	while IFS= read -r line; do
		if [[ $command == *\\ ]]; then
			command=${command%\\}$line
			continue
		fi
		case $line in
		'    $ '*)
			step "$command" "${shown[@]}"
			command=${line#'    $ '} shown=() count=$((count + 1))
			;;
		'    '*) shown+=("${line#    }") ;;
		esac
	done < <(section "Five minutes")
	step "$command" "${shown[@]}"
	((count > 15)) || { echo "only $count commands found"; false; }
}

@test "README names the commands that there are, and fits 80 columns" {
	run -0 awk 'length > 80' "$ROOT/README"
	[[ -z $output ]]
	for word in $(fvdtool --dump-options | cut -f1 | sort -u); do
		grep -qwF -- "$word" "$ROOT/README" || { echo "no $word"; false; }
	done
}

@test "README names the folders that there are" {
	local folder

	while read -r folder; do
		[[ -d $ROOT/$folder ]] || { echo "no $folder"; false; }
	done < <(section "Where things are" | sed -nE 's/^    ([a-z/]+\/) .*/\1/p')
	[[ -f $ROOT/lib/format/FORMAT ]]
}
