# Completion of l2lb for bash: source it, or install it as /usr/share/bash-completion/completions/l2lb.
# Flags and their values come from the program's own help, so that they cannot differ.
_l2lb() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} values
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$("$1" --help 2>/dev/null | awk '/^  /{print $1}')" -- "$word")
		return
	fi
	local command=${COMP_WORDS[1]}
	case $before in
	--interface) mapfile -t COMPREPLY < <(compgen -W "$(ls /sys/class/net 2>/dev/null)" -- "$word"); return ;;
	--kubeconfig | --state-file) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
	--metrics-cert-dir) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
	-o) before=--output ;;
	esac
	# Nodes and addresses have to be asked of the cluster: by kubectl, which has the user's context.
	if [[ $word != -* && $before != --* ]]; then
		case $command in
		drain | undrain) values=nodes ;;
		move) [ "$COMP_CWORD" -eq 2 ] && values=addresses || values=nodes ;;
		verify) values=addresses ;;
		esac
		case $values in
		nodes) values=$(kubectl get nodes -o name --request-timeout=2s 2>/dev/null) ;;
		addresses)
			values=$(kubectl get services -A --request-timeout=2s -o \
				'jsonpath={.items[*].status.loadBalancer.ingress[*].ip}' 2>/dev/null) ;;
		esac
		mapfile -t COMPREPLY < <(compgen -W "${values//node\//}" -- "$word")
		return
	fi
	values=$("$1" "$command" --help 2>/dev/null | awk -v flag="$before" '$1 == flag && $2 ~ /\|/ {gsub(/\|/, " ", $2); print $2}')
	if [ -n "$values" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$values" -- "$word")
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$("$1" "$command" --help 2>/dev/null | awk '$1 ~ /^--/{print $1}')" -- "$word")
	fi
}
complete -F _l2lb l2lb
