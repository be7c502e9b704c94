load helper

COMMANDS='create convert check replay-journal compact info write read undo'

# "command<TAB>-s --long ARGUMENT" of every option: as the tool has them ...
from_tool() {
	fvdtool --dump-options | awk -F '\t' '$2 != "" {
		print $1 "\t" ($3 == "" ? "" : "-" $3 " ") "--" $2 ($4 == "" ? "" : " " $4) }'
}

# ... and as the manual has them: its own, the common ones, and for convert those of create that
# shape an image.
from_manual() {
	awk '
	/^\.Sh /{ section = $2 " " $3; command = "" }
	/^\.Ss /{ command = $2; n = split(names, all, " "); names = names " " $2 }
	/^\.It Fl / && (command != "" || section == "COMMON OPTIONS") {
		line = $0
		sub(/^\.It /, "", line)
		gsub(/Fl -/, "--", line)
		gsub(/Fl /, "-", line)
		gsub(/ ,/, "", line)
		sub(/ Ns Op =json/, " [=json]", line)
		gsub(/ Ns = Ns/, "", line)
		gsub(/(Ar|Cm) /, "", line)
		gsub(/ \| /, "|", line)
		if (command == "") common[++c] = line
		else print command "\t" line
		if (command == "create" && line != "--force") print "convert\t" line
	}
	END {
		n = split(names, all, " ")
		for (i = 1; i <= n; i++)
			for (j = 1; j <= c; j++) {
				line = common[j]
				if (all[i] == "check") sub(/^-p --progress/, "--progress", line)
				print all[i] "\t" line
			}
	}' "$ROOT/fvdtool.1"
}

@test "manual and tool have the same options, with the same arguments" {
	diff <(from_manual | sort) <(from_tool | sort)
}

@test "manual and tool have the same operands" {
	diff <(sed -n 's/^\.Ss \([a-z-]*\) Oo Ar options Oc Ar /\1 /p' "$ROOT/fvdtool.1" |
		sed 's/ Op Ar \([A-Z]*\)/ [\1]/; s/ \.\.\./.../' | sort) \
		<(fvdtool --dump-options | awk -F '\t' '$2 == "" { print $1 " " $4 }' | sort)
}

@test "--help has every option, on stdout, within 80 columns" {
	for command in $COMMANDS; do
		run -0 --separate-stderr fvdtool "$command" --help
		[[ -z $stderr ]]
		for line in "${lines[@]}"; do
			[[ ${#line} -le 80 ]] || { echo "$line"; false; }
		done
		while IFS=$'\t' read -r name option; do
			[[ $name == "$command" ]] || continue
			option=$(grep -oE -- '--[a-z-]+' <<<"$option" | head -n 1)
			[[ $output == *"$option"* ]] || { echo "no $option"; false; }
		done < <(from_tool)
	done
	run -0 --separate-stderr fvdtool --help
	for line in "${lines[@]}"; do
		[[ ${#line} -le 80 ]]
	done
}

@test "every example of the manual and of --help parses" {
	examples=$({
		sed -n 's/^\.Dl \(fvdtool .*\)/\1/p' "$ROOT/fvdtool.1"
		for command in $COMMANDS; do
			fvdtool "$command" --help | sed -n 's/^  \(fvdtool .*\)/\1/p'
		done
	})
	[[ $(wc -l <<<"$examples") -ge 20 ]]
	while read -ra words; do
		fvdtool "${words[1]}" --check-args "${words[@]:2}"
	done <<<"$examples"
}

@test "the manual is clean mdoc" {
	command -v mandoc >/dev/null || skip "no mandoc"
	# EXAMPLES stand early on purpose, where a reader in a hurry finds them.
	run ! bash -c 'mandoc -T lint -W warning "$1" | grep -v "out of conventional order"' \
		lint "$ROOT/fvdtool.1"
}

@test "the manual names every exit status the tool has" {
	statuses=$(sed -n '/^\.Sh EXIT STATUS/,/^\.Sh DIAG/s/^\.It \([0-9]*\)$/\1/p' "$ROOT/fvdtool.1")
	[[ $(echo $statuses) == "0 1 4 8 16 32 0 1 2" ]]
}

@test "the completions are those the option tables give" {
	bash "$ROOT/completions/gen.sh" "$(command -v fvdtool)" new
	diff -r new "$ROOT/completions" --exclude gen.sh
}

# complete WORD...: what bash would offer for the last of them.
complete_bash() {
	bash -c 'source "$1"
		shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_fvdtool
		printf "%s\n" "${COMPREPLY[@]}"' complete "$ROOT/completions/fvdtool.bash" fvdtool "$@"
}

@test "bash completes commands, options, values and files" {
	touch disk.fvd
	mkdir dir
	[[ $(complete_bash re) == $'replay-journal\nread' ]]
	[[ $(complete_bash create --ch) == --chunk-size ]]
	[[ $(complete_bash create --base-format "") == $'raw\nfvd' ]]
	[[ $(complete_bash convert -O f) == fvd ]]
	[[ $(complete_bash info --output = j) == json ]]
	[[ $(complete_bash info --output =) == $'human\njson' ]]
	[[ $(complete_bash info di) == *disk.fvd* ]]
	[[ $(complete_bash check --undo di) == *disk.fvd* ]]
	[[ $(complete_bash info --progress = "") == json ]]
	[[ $(complete_bash info --progress di) == *disk.fvd* ]]
	[[ -z $(complete_bash create --chunk-size "") ]]
	[[ $(complete_bash help comp) == compact ]]
	[[ $(complete_bash "" | wc -l) == 10 ]]
	[[ $(complete_bash --ver) == --version ]]
}

@test "fish completes commands, options and values" {
	command -v fish >/dev/null || skip "no fish"
	export HOME=$PWD
	offer() {
		fish --no-config -c 'source $argv[1]; complete -C $argv[2]' \
			"$ROOT/completions/fvdtool.fish" "$1" | cut -f1
	}
	[[ $(offer "fvdtool repl") == replay-journal ]]
	[[ $(offer "fvdtool create --chunk") == --chunk-size ]]
	[[ $(offer "fvdtool convert -O ") == *fvd* ]]
}

@test "the zsh completion parses" {
	command -v zsh >/dev/null || skip "no zsh"
	zsh -n "$ROOT/completions/_fvdtool"
}
