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
	create)
		options="--force --base -b --base-format -F --chunk-size --no-table --block-size --journal-size --grow-unit --data-file --detect-zeroes --copy-on-read --prefetch-delay --no-base-check --no-sync --output --quiet -q --progress -p --help"
		case $prev in
		-b | --base) values=/files ;;
		-F | --base-format) values="raw fvd" ;;
		--chunk-size) return ;;
		--block-size) return ;;
		--journal-size) return ;;
		--grow-unit) return ;;
		--data-file) values=/files ;;
		--prefetch-delay) return ;;
		--output) values="human json" ;;
		--progress) [[ ${COMP_WORDS[COMP_CWORD]} != "=" && ${COMP_WORDS[COMP_CWORD - 1]} != "=" ]] || values="json" ;;
		esac
		;;
	convert)
		options="--format -f --target-format -O --size --sparse -S --verify --threads -m --force-share -U --confined --ignore-base-change --base -b --base-format -F --chunk-size --no-table --block-size --journal-size --grow-unit --data-file --detect-zeroes --copy-on-read --prefetch-delay --no-base-check --no-sync --output --quiet -q --progress -p --help"
		case $prev in
		-f | --format) values="raw fvd" ;;
		-O | --target-format) values="raw fvd" ;;
		--size) return ;;
		-S | --sparse) return ;;
		-m | --threads) return ;;
		-b | --base) values=/files ;;
		-F | --base-format) values="raw fvd" ;;
		--chunk-size) return ;;
		--block-size) return ;;
		--journal-size) return ;;
		--grow-unit) return ;;
		--data-file) values=/files ;;
		--prefetch-delay) return ;;
		--output) values="human json" ;;
		--progress) [[ ${COMP_WORDS[COMP_CWORD]} != "=" && ${COMP_WORDS[COMP_CWORD - 1]} != "=" ]] || values="json" ;;
		esac
		;;
	check)
		options="--no-repair -n --preen -p --repair -y --undo --data-file --follow --force-share -U --ignore-base-change --output --quiet -q --progress --help"
		case $prev in
		--undo) values=/files ;;
		--data-file) values=/files ;;
		--output) values="human json" ;;
		--progress) [[ ${COMP_WORDS[COMP_CWORD]} != "=" && ${COMP_WORDS[COMP_CWORD - 1]} != "=" ]] || values="json" ;;
		esac
		;;
	replay-journal)
		options="--dry-run -n --explain --stop-at --skip-damaged --discard --yes-i-lose-updates --data-file --undo --output --quiet -q --progress -p --help"
		case $prev in
		--stop-at) return ;;
		--data-file) values=/files ;;
		--undo) values=/files ;;
		--output) values="human json" ;;
		--progress) [[ ${COMP_WORDS[COMP_CWORD]} != "=" && ${COMP_WORDS[COMP_CWORD - 1]} != "=" ]] || values="json" ;;
		esac
		;;
	compact)
		options="--dry-run -n --data-file --against-base --no-punch --ignore-base-change --output --quiet -q --progress -p --help"
		case $prev in
		--data-file) values=/files ;;
		--output) values="human json" ;;
		--progress) [[ ${COMP_WORDS[COMP_CWORD]} != "=" && ${COMP_WORDS[COMP_CWORD - 1]} != "=" ]] || values="json" ;;
		esac
		;;
	info)
		options="--journal --chain --force-share -U --output --quiet -q --progress -p --help"
		case $prev in
		--output) values="human json" ;;
		--progress) [[ ${COMP_WORDS[COMP_CWORD]} != "=" && ${COMP_WORDS[COMP_CWORD - 1]} != "=" ]] || values="json" ;;
		esac
		;;
	write)
		options="--offset --flush-every --zero --discard --data-file --ignore-base-change --output --quiet -q --progress -p --help"
		case $prev in
		--offset) return ;;
		--flush-every) return ;;
		--zero) return ;;
		--discard) return ;;
		--data-file) values=/files ;;
		--output) values="human json" ;;
		--progress) [[ ${COMP_WORDS[COMP_CWORD]} != "=" && ${COMP_WORDS[COMP_CWORD - 1]} != "=" ]] || values="json" ;;
		esac
		;;
	read)
		options="--offset --length --force-share -U --confined --ignore-base-change --output --quiet -q --progress -p --help"
		case $prev in
		--offset) return ;;
		--length) return ;;
		--output) values="human json" ;;
		--progress) [[ ${COMP_WORDS[COMP_CWORD]} != "=" && ${COMP_WORDS[COMP_CWORD - 1]} != "=" ]] || values="json" ;;
		esac
		;;
	undo)
		options="--output --quiet -q --progress -p --help"
		case $prev in
		--output) values="human json" ;;
		--progress) [[ ${COMP_WORDS[COMP_CWORD]} != "=" && ${COMP_WORDS[COMP_CWORD - 1]} != "=" ]] || values="json" ;;
		esac
		;;
	help) values="create convert check replay-journal compact info write read undo" ;;
	*) values="create convert check replay-journal compact info write read undo help" options="--help --version" ;;
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
