#compdef sluice
# zsh completion for sluice
_sluice() {
	local line directive
	local -a lines entries
	lines=("${(@f)$(${words[1]} completion words -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2> /dev/null)}")
	directive=$lines[1]
	shift lines
	if [[ $directive == :files ]]; then
		_files
		return
	fi
	for line in $lines; do
		if [[ $line == *$'\t'* ]]; then
			entries+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
		else
			entries+=("${line//:/\\:}")
		fi
	done
	_describe -V sluice entries
}
if [[ $funcstack[1] == _sluice ]]; then
	_sluice "$@"
else
	compdef _sluice sluice
fi
