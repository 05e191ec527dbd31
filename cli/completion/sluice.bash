# bash completion for sluice
_sluice() {
	local line current kept directive
	local -a lines
	COMPREPLY=()
	line=${COMP_LINE:0:COMP_POINT}
	mapfile -t lines < <("$1" completion line -- "$line" 2> /dev/null)
	directive=${lines[0]}
	# What bash takes for the word: behind the last : or = of it.
	current=${line##*[[:space:]]}
	kept=
	if [[ $COMP_WORDBREAKS == *=* && $current == *=* ]]; then kept=${current%"${current##*=}"}; fi
	if [[ $COMP_WORDBREAKS == *:* && $current == *:* ]]; then kept=${current%"${current##*:}"}; fi
	if [[ $directive == :files ]]; then
		compopt -o filenames 2> /dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "${current#"$kept"}")
		return
	fi
	for line in "${lines[@]:1}"; do
		line=${line%%$'\t'*}
		COMPREPLY+=("${line#"$kept"}")
	done
}
complete -F _sluice sluice
