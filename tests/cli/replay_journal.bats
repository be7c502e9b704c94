load helper

# An image whose writer was killed after 300000 bytes at 1000000 were durable.
dirty() {
	random r 300000
	fvdtool create -q --chunk-size 64K "$1" 4M
	crash "$1" 1000000 r
}

@test "a clean image: 0, and nothing to do" {
	fvdtool create -q a.fvd 1M
	before=$(sha a.fvd)
	run -0 fvdtool replay-journal a.fvd
	[[ $output == "a.fvd: clean, nothing to replay" ]]
	[[ $(sha a.fvd) == "$before" ]]
}

@test "a sound journal is replayed with status 0, and the content is there" {
	dirty a.fvd
	run -0 fvdtool replay-journal a.fvd
	[[ $output == *"a.fvd: replayed: "*"5 table entries"* ]]
	[[ $(field a.fvd clean-shutdown) == 1 ]]
	fvdtool read -q --offset 1000000 --length 300000 a.fvd | cmp - r
	run -0 fvdtool check a.fvd
	run -0 fvdtool replay-journal a.fvd
	[[ $output == *"nothing to replay" ]]
}

@test "-n says the same and changes nothing" {
	dirty a.fvd
	before=$(sha a.fvd)
	run -0 fvdtool replay-journal -n a.fvd
	[[ $output == *"would replay"*"5 table entries"*"would change"* ]]
	run -0 fvdtool replay-journal -n --output=json a.fvd
	json_is '."entries-changed"' 5
	json_is '."dry-run"' true
	[[ $(sha a.fvd) == "$before" ]]
}

@test "--explain lists every record" {
	dirty a.fvd
	run -0 fvdtool replay-journal -n --explain a.fvd
	[[ ${lines[0]} =~ ^\ *sector\ +kind\ +epoch\ +range\ +entries\ +verdict$ ]]
	[[ ${lines[1]} =~ ^\ +0\ +table\ +[0-9]+\ +chunks\ 15-19\ +5\ +applied$ ]]
	run -0 fvdtool replay-journal -n --explain --output=json a.fvd
	json_is '.records[0].kind' table
	json_is '.records[0]."first-chunk"' 15
	json_is '.records[0].entries | length' 5
	json_is '.records[0].verdict' applied
}

@test "records from before the last close are void, and it says why" {
	random r 300000
	fvdtool create -q --chunk-size 64K a.fvd 4M
	crash a.fvd 1000000 r
	fvdtool replay-journal -q a.fvd
	run -0 fvdtool replay-journal -n --explain a.fvd
	echo "$output"; [[ $output == *"  void: "*"epoch < stable epoch "* ]]
}

@test "a damaged sector stops the replay before anything is changed" {
	dirty a.fvd
	patch a.fvd "$(field a.fvd journal-offset)" deadbeef
	before=$(sha a.fvd)
	run -4 fvdtool replay-journal a.fvd
	[[ $output == *"sector 0"*"--skip-damaged"* ]]
	run -4 fvdtool replay-journal --output=json a.fvd
	[[ $(sha a.fvd) == "$before" ]]
	run -4 fvdtool replay-journal -n --skip-damaged a.fvd
	[[ $(sha a.fvd) == "$before" ]]
	run -1 fvdtool replay-journal --skip-damaged a.fvd
	[[ $(field a.fvd clean-shutdown) == 1 ]]
	fvdtool read -q a.fvd | cmp - <(head -c 4M /dev/zero)
}

@test "--stop-at drops what follows" {
	dirty a.fvd
	run -1 fvdtool replay-journal --stop-at 0 a.fvd
	[[ $(field a.fvd chunks-allocated) == 0 ]]
}

@test "--discard is refused without its second option, and says what to add" {
	dirty a.fvd
	before=$(sha a.fvd)
	run -16 fvdtool replay-journal --discard a.fvd
	[[ $output == *"add --yes-i-lose-updates"* ]]
	[[ $(sha a.fvd) == "$before" ]]
	run -1 fvdtool replay-journal --discard --yes-i-lose-updates a.fvd
	[[ $(field a.fvd chunks-allocated) == 0 ]]
}

@test "--undo takes a discarded journal back" {
	dirty a.fvd
	before=$(sha a.fvd)
	run -1 fvdtool replay-journal --discard --yes-i-lose-updates --undo a.undo a.fvd
	fvdtool undo a.undo a.fvd
	[[ $(sha a.fvd) == "$before" ]]
	run -0 fvdtool replay-journal a.fvd
	fvdtool read -q --offset 1000000 --length 300000 a.fvd | cmp - r
}

@test "what is no image, or absent, is an operational error" {
	random junk 10000
	run -8 fvdtool replay-journal junk
	[[ $output == *"junk: not an FVD image" ]]
	run -8 fvdtool replay-journal absent
}

@test "option rules" {
	check_args <<-END
		0 replay-journal a
		0 replay-journal -n --explain a
		0 replay-journal --stop-at 0 --undo u a
		0 replay-journal --stop-at 12 --skip-damaged a
		0 replay-journal --discard --yes-i-lose-updates a
		16 replay-journal
		16 replay-journal a b
		16 replay-journal --discard a
		16 replay-journal --yes-i-lose-updates a
		16 replay-journal --discard --yes-i-lose-updates --skip-damaged a
		16 replay-journal --discard --yes-i-lose-updates --stop-at 3 a
		16 replay-journal --stop-at -1 a
		16 replay-journal --stop-at 1K a
		16 replay-journal --stop-at x a
		16 replay-journal -n --undo u a
	END
}
