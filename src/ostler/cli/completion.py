"""`ostler completion`: what a shell must read to complete our commands, and what it then asks."""

from ostler.cli.options import Given
from ostler.cli.output import say
from ostler.model.errors import UsageError

_BASH = """\
# Completion of ostler for bash: eval "$(ostler completion bash)"
_ostler() {
    local line=${COMP_LINE:0:COMP_POINT} current rest part answer words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[-1]}
    # Readline replaces only what follows the last = or : of a word.
    rest=${current##*[=:]}
    [[ $COMP_WORDBREAKS == *:* ]] || rest=${current##*=}
    part=${current%"$rest"}
    mapfile -t answer < <("${words[0]/#\\~/$HOME}" completion bash "${words[@]:1}" 2>/dev/null)
    COMPREPLY=()
    case ${answer[0]} in
    words)
        COMPREPLY=("${answer[@]:1}")
        COMPREPLY=("${COMPREPLY[@]#"$part"}")
        ;;
    files)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$rest")
        ;;
    folders)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$rest")
        ;;
    commands)
        mapfile -t COMPREPLY < <(compgen -c -- "$rest")
        ;;
    users)
        mapfile -t COMPREPLY < <(compgen -u -- "$rest")
        ;;
    esac
}
complete -F _ostler ostler
"""
_ZSH = """\
#compdef ostler
# Completion of ostler for zsh: eval "$(ostler completion zsh)", or a file _ostler in your $fpath.
_ostler() {
    local kind
    local -a answer before
    before=("${(@Q)words[2,CURRENT-1]}")
    answer=("${(@f)$("${words[1]/#\\~/$HOME}" completion zsh "${before[@]}" "${(Q)PREFIX}" 2>/dev/null)}")
    kind=${answer[1]}
    answer=("${(@)answer[2,-1]}")
    [[ $kind == words ]] || compset -P '--*='
    case $kind in
    words) (( $#answer )) && _describe -V ostler answer ;;
    files) _files ;;
    folders) _files -/ ;;
    commands) _command_names -e ;;
    users) _users ;;
    esac
}
if [[ $funcstack[1] == _ostler ]]; then
    _ostler "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _ostler ostler
fi
"""
_FISH = """\
# Completion of ostler for fish: ostler completion fish | source
function __ostler_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer ($words[1] completion fish $words[2..-1] "$current" 2>/dev/null)
    set -l before (string match -r -- '^--[^=]*=' "$current")
    set -l part (string replace -r -- '^--[^=]*=' '' "$current")
    switch "$answer[1]"
        case words
            printf '%s\\n' $answer[2..-1]
        case files
            printf '%s\\n' "$before"(__fish_complete_path "$part")
        case folders
            printf '%s\\n' "$before"(__fish_complete_directories "$part")
        case commands
            printf '%s\\n' (complete -C "$part")
        case users
            printf '%s\\n' "$before"(__fish_complete_users)
    end
end
complete -c ostler -f -a '(__ostler_complete)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def main(given: Given) -> int:
    """Print a shell's script; with more words, what could stand in the place of the last one."""
    shell, *words = given.words
    script = _SCRIPTS.get(shell)
    if script is None:
        raise UsageError(f"there is no completion for {shell!r}", expected=", ".join(_SCRIPTS))
    if not words:
        say(script.rstrip("\n"))
        return 0
    from ostler.cli.complete import complete

    answer = complete(words, given.text("state"))
    lines = [answer.kind]
    for value, told in answer.found:
        if shell == "zsh":
            value = value.replace("\\", "\\\\").replace(":", "\\:")  # noqa: PLW2901
        mark = {"zsh": ":", "fish": "\t"}.get(shell, "")
        lines.append(f"{value}{mark}{told}" if mark and told else value)
    say("\n".join(lines))
    return 0
