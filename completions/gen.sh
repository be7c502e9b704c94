#!/usr/bin/env bash
# Write the completions of bash, zsh and fish from the tool's own option tables:
# gen.sh FVDTOOL DIRECTORY
set -eu

tool=$1
dir=$2
dump=$("$tool" --dump-options)

# What an argument of that description is: flag, optional, enum, file or text.
# shellcheck disable=SC2016
kinds='
function kind(arg) {
	if (arg == "") return "flag"
	if (arg ~ /^\[=/) return "optional"
	if (arg ~ /\|/) return "enum"
	if (arg == "FILE" || arg == "BASE") return "file"
	return "text"
}
function words(arg) {
	gsub(/[][=]/, "", arg)
	gsub(/\|/, " ", arg)
	return arg
}
'

bash_completion() {
	cat <<'HEAD'
# bash completion for fvdtool; written by completions/gen.sh

_fvdtool() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local command='' i options='' values=''

	# "--output=js" comes as three words.
	if [[ $cur == "=" ]]; then
		cur=''
	elif [[ $prev == "=" ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} != -* ]]; then
			command=${COMP_WORDS[i]}
			break
		fi
	done
	case $command in
HEAD
	printf '%s\n' "$dump" | awk -F '\t' "$kinds"'
	function flush_command() {
		if (command == "") return
		printf "\t%s)\n\t\toptions=\"%s\"\n\t\tcase $prev in\n", command, options
		for (i = 1; i <= count; i++) print cases[i]
		print "\t\tesac\n\t\t;;"
	}
	$2 == "" { flush_command(); command = $1; names = names " " $1; options = ""; count = 0; next }
	{
		k = kind($4)
		options = options (options == "" ? "" : " ") "--" $2 ($3 == "" ? "" : " -" $3)
		pattern = ($3 == "" ? "" : "-" $3 " | ") "--" $2
		if (k == "enum")
			cases[++count] = "\t\t" pattern ") values=\"" words($4) "\" ;;"
		else if (k == "optional")
			cases[++count] = "\t\t--" $2 ") [[ ${COMP_WORDS[COMP_CWORD]} != \"=\" && " \
				"${COMP_WORDS[COMP_CWORD - 1]} != \"=\" ]] || values=\"" words($4) "\" ;;"
		else if (k == "file")
			cases[++count] = "\t\t" pattern ") values=/files ;;"
		else if (k == "text")
			cases[++count] = "\t\t" pattern ") return ;;"
	}
	END {
		flush_command()
		print "\thelp) values=\"" substr(names, 2) "\" ;;"
		print "\t*) values=\"" substr(names, 2) " help\" options=\"--help --version\" ;;"
	}'
	cat <<'TAIL'
	esac
	if [[ -z $command && $cur == -* ]]; then
		values=''
	fi
	if [[ -n $values && $values != /files ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur")
	elif [[ -z $values && $cur == -* && $cur != - ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
	elif [[ -z $values && $cur == - ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options -" -- "$cur")
	else
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}

complete -F _fvdtool fvdtool
TAIL
}

zsh_completion() {
	cat <<'HEAD'
#compdef fvdtool
# zsh completion for fvdtool; written by completions/gen.sh

_fvdtool() {
	local context state state_descr line
	typeset -A opt_args
	local -a commands=(
HEAD
	printf '%s\n' "$dump" | awk -F '\t' '$2 == "" { printf "\t\t\x27%s:%s\x27\n", $1, $5 }
		END { print "\t\t\x27help:show help\x27" }' 
	cat <<'MIDDLE'
	)

	_arguments -C '(- *)'{-h,--help}'[show help]' '(- *)'{-V,--version}'[show the version]' \
		'1:command:->command' '*::operand:->operand'
	if [[ $state == command ]]; then
		_describe command commands
		return
	fi
	case $words[1] in
MIDDLE
	printf '%s\n' "$dump" | awk -F '\t' "$kinds"'
	function quoted(text) {
		gsub(/\x27/, "\x27\\\x27\x27", text)
		gsub(/\[/, "\\[", text)
		gsub(/\]/, "\\]", text)
		gsub(/:/, "\\:", text)
		return text
	}
	function finish() {
		if (command != "") print " \\\n\t\t\t\x27*:file:_files\x27\n\t\t;;"
	}
	$2 == "" { finish(); command = $1; printf "\t%s)\n\t\t_arguments", $1; next }
	{
		k = kind($4)
		tail = "[" quoted($5) "]"
		eq = k == "flag" ? "" : k == "optional" ? "=-" : "="
		if (k == "enum") tail = tail ":value:(" words($4) ")"
		if (k == "optional") tail = tail "::value:(" words($4) ")"
		if (k == "file") tail = tail ":file:_files"
		if (k == "text") tail = tail ":" tolower($4) ": "
		if ($3 == "")
			printf " \\\n\t\t\t\x27--%s%s%s\x27", $2, eq, tail
		else if (k == "optional")
			printf " \\\n\t\t\t\x27-%s%s\x27 \x27--%s%s%s\x27", $3, "[" quoted($5) "]", $2, eq, tail
		else
			printf " \\\n\t\t\t\x27(-%s --%s)\x27{-%s%s,--%s%s}\x27%s\x27", $3, $2, $3,
				(k == "flag" ? "" : "+"), $2, eq, tail
	}
	END { finish() }'
	cat <<'TAIL'
	help)
		_describe command commands
		;;
	esac
}

_fvdtool "$@"
TAIL
}

fish_completion() {
	echo '# fish completion for fvdtool; written by completions/gen.sh'
	echo
	echo "complete -c fvdtool -n __fish_use_subcommand -f"
	echo "complete -c fvdtool -n __fish_use_subcommand -s h -l help -d 'show help'"
	echo "complete -c fvdtool -n __fish_use_subcommand -s V -l version -d 'show the version'"
	printf '%s\n' "$dump" | awk -F '\t' "$kinds"'
	function quoted(text) {
		gsub(/\\/, "\\\\\\\\", text)
		gsub(/\x27/, "\\\x27", text)
		return "\x27" text "\x27"
	}
	$2 == "" {
		names = names " " $1
		printf "complete -c fvdtool -n __fish_use_subcommand -a %s -d %s\n", $1, quoted($5)
		next
	}
	{
		k = kind($4)
		printf "complete -c fvdtool -n %s", quoted("__fish_seen_subcommand_from " $1)
		if ($3 != "") printf " -s %s", $3
		printf " -l %s", $2
		if (k == "enum") printf " -x -a %s", quoted(words($4))
		if (k == "file") printf " -r -F"
		if (k == "text") printf " -x"
		printf " -d %s\n", quoted($5)
	}
	END {
		print "complete -c fvdtool -n __fish_use_subcommand -a help -d \x27show help\x27"
		print "complete -c fvdtool -n \x27__fish_seen_subcommand_from help\x27 -f -a \x27" \
			substr(names, 2) "\x27"
	}'
}

mkdir -p "$dir"
bash_completion >"$dir/fvdtool.bash"
zsh_completion >"$dir/_fvdtool"
fish_completion >"$dir/fvdtool.fish"
