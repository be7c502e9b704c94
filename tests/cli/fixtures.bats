load helper

# Images of the original driver, with the content expected of each.

unpack() {
	local file

	for file in "$FIXTURES"/*.zst; do
		zstd -qdf "$file" -o "$(basename "$file" .zst)"
	done
}

# each FUNCTION: call it with the name and the JSON of every image, and say which ones failed.
each() {
	local json name bad=0

	unpack
	for json in "$FIXTURES"/*.json; do
		name=$(jq -r .name "$json")
		"$1" "$name" "$json" || {
			echo "FAILED: $name"
			bad=1
		}
	done
	return $bad
}

# want JSON FILTER
want() {
	jq -r "$2" "$1"
}

# The content of an image. One differs on purpose: its journal sector holds BITMAP before TABLE,
# where the original driver loses the second record and the format applies both.
content() {
	case $1 in
	*/s-g15-dirty-order.json) want "$1" .expected.written_sha256 ;;
	*) want "$1" .expected.virtual_sha256 ;;
	esac
}

unpacked() {
	[[ $(sha "$1.fvd") == "$(want "$2" .files.image.sha256)" ]]
}

@test "the fixtures unpack to what they were" {
	each unpacked
}

shows() {
	output=$(fvdtool info --output=json "$1.fvd") || return 1
	json_is '."virtual-size"' "$(want "$2" .virtual_size)" || return 1
	json_is '."dirty-flag"' "$(want "$2" .dirty)" || return 1
	json_is '."format-specific".data.revision' 1 || return 1
	json_is '."backing-filename" // ""' "$(want "$2" .expected.header.base_img)" || return 1
	json_is '."format-specific".data."data-file" // ""' \
		"$(want "$2" .expected.header.data_file)" || return 1
	for pair in "chunk-size chunk_size" "bitmap-offset bitmap_offset" \
		"block-size block_size" "table-offset table_offset" \
		"journal-offset journal_offset" "journal-size journal_size" \
		"grow-unit storage_grow_unit" "metadata-size metadata_size"; do
		# A field of a structure that the image lacks is not shown.
		have=$(json ".\"format-specific\".data.\"${pair% *}\"")
		[[ $have == null || $have == "$(want "$2" ".expected.header.${pair#* }")" ]] || {
			echo "${pair% *}: $have"
			return 1
		}
	done
	[[ $(sha "$1.fvd") == "$(want "$2" .files.image.sha256)" ]]
}

@test "info shows their header, and leaves them bit-identical" {
	each shows
}

reads() {
	rm -f out.raw
	fvdtool convert -q --no-sync -O raw "$1.fvd" out.raw || return 1
	[[ $(sha "$1.fvd") == "$(want "$2" .files.image.sha256)" ]] || return 1
	[[ $(sha out.raw) == "$(content "$2")" ]]
}

@test "convert gives their content, dirty ones replayed in memory" {
	each reads
}

reads_piped() {
	[[ $(fvdtool read "$1.fvd" | sha256sum | cut -d' ' -f1) == \
		"$(content "$2")" ]]
}

@test "read gives the same content" {
	each reads_piped
}

becomes_revision_2() {
	rm -f out.fvd
	fvdtool convert -q --no-sync --verify "$1.fvd" out.fvd || return 1
	fvdtool check out.fvd || return 1
	[[ $(fvdtool read out.fvd | sha256sum | cut -d' ' -f1) == \
		"$(content "$2")" ]]
}

@test "convert makes revision 2 of them" {
	each becomes_revision_2
}

checks() {
	local status=0

	output=$(fvdtool check --output=json "$1.fvd") || status=$?
	[[ $(sha "$1.fvd") == "$(want "$2" .files.image.sha256)" ]] || return 1
	if [[ $(want "$2" .dirty) == true ]]; then
		[[ $status == 4 ]] && json_is '."was-dirty"' true
	else
		# A few hold chunks that nothing refers to: leaks are told, damage there is none.
		json_is '.left.damage' 0 && json_is '.left.dirty' 0
	fi
}

@test "check finds the dirty ones dirty and no damage in the others" {
	each checks
}

replays() {
	local status=0

	[[ $(want "$2" .dirty) == true ]] || return 0
	fvdtool replay-journal -n --explain "$1.fvd" >/dev/null || status=$?
	[[ $(sha "$1.fvd") == "$(want "$2" .files.image.sha256)" ]] || return 1
	if [[ $(want "$2" .expected.header.journal_size) == 0 ]]; then
		[[ $status == 4 ]]
		return
	fi
	[[ $status == 0 ]] || return 1
	fvdtool replay-journal -q "$1.fvd" || return 1
	[[ $(fvdtool read "$1.fvd" | sha256sum | cut -d' ' -f1) == \
		"$(content "$2")" ]] || return 1
	output=$(fvdtool check --output=json "$1.fvd") || true
	json_is '.left.damage' 0 && json_is '.left.dirty' 0
}

@test "replay-journal replays the dirty ones on disk" {
	each replays
}

undoes() {
	local status=0

	[[ $(want "$2" .dirty) == true ]] || return 0
	rm -f undo undo.data
	fvdtool check -y --undo undo "$1.fvd" >/dev/null || status=$?
	[[ $status == 1 || $status == 4 ]] || return 1
	[[ ! -e undo ]] || fvdtool undo -q undo "$1.fvd" || return 1
	[[ $(sha "$1.fvd") == "$(want "$2" .files.image.sha256)" ]]
}

@test "check -y mends the dirty ones, undo brings every byte back" {
	each undoes
}
