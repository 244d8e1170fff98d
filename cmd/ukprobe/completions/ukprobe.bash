# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Completion of ukprobe for bash 4.4 and later: ukprobe itself is asked.

_ukprobe() {
	local line=${COMP_LINE:0:COMP_POINT} words=() answer=() current cut also one
	read -ra words <<<"$line"
	if [[ -z $line || $line == *[[:space:]] ]]; then
		words+=("")
	fi
	current=${words[-1]#[\"\']}
	words[-1]=$current
	mapfile -t answer < <("${COMP_WORDS[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
	COMPREPLY=()
	((${#answer[@]})) || return
	also=${answer[-1]}
	unset 'answer[-1]'
	# Bash replaces what follows the last of COMP_WORDBREAKS only, quotes aside.
	cut=
	if [[ ${words[-1]} == "${line##*[[:space:]]}" ]]; then
		one=${current##*[=:|]}
		cut=${current%"$one"}
	fi
	for one in "${answer[@]}"; do
		one=${one%%$'\t'*}
		COMPREPLY+=("${one#"$cut"}")
	done
	if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[=,] ]]; then
		compopt -o nospace 2>/dev/null
	fi
	case $also in
	:files | :dirs)
		one=f
		[[ $also == :dirs ]] && one=d
		compopt -o filenames 2>/dev/null
		while IFS= read -r line; do
			COMPREPLY+=("$line")
		done < <(compgen -"$one" -- "${current#"$cut"}")
		;;
	esac
}

complete -F _ukprobe ukprobe
