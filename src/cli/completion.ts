import { CliError, EXIT } from './verb.ts';
import type { Verb } from './verb.ts';

/** The word by which the scripts ask for candidates; no verb of the table, and not in the help. */
export const COMPLETE = '__complete';

const BASH = `_switchyard() {
  local word="\${COMP_WORDS[COMP_CWORD]}" line
  COMPREPLY=()
  while IFS= read -r line; do
    if [ "$line" = ":files" ]; then
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$word")
    else
      COMPREPLY+=("$line")
    fi
  done < <("\${COMP_WORDS[0]}" ${COMPLETE} "$word" "\${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
}
complete -F _switchyard switchyard
`;

const ZSH = `#compdef switchyard
_switchyard() {
  local -a found
  found=("\${(@f)$("\${words[1]}" ${COMPLETE} "\${words[CURRENT]}" "\${(@)words[2,CURRENT-1]:#}" 2>/dev/null)}")
  found=("\${(@)found:#}")
  if (( \${found[(Ie):files]} )); then
    _files
  else
    compadd -- "\${found[@]}"
  fi
}
# As a file of fpath it is run by the first completion; sourced, it only names itself.
if [[ "\${funcstack[1]}" = _switchyard ]]; then _switchyard "$@"; else compdef _switchyard switchyard; fi
`;

const FISH = `function __switchyard_complete
  set -l words (commandline -opc)
  set -l word (commandline -ct)
  for line in ($words[1] ${COMPLETE} "$word" $words[2..-1] 2>/dev/null)
    if test "$line" = ":files"
      __fish_complete_path "$word"
    else
      echo $line
    end
  end
end
complete -c switchyard -f -a '(__switchyard_complete)'
`;

const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };

/** `switchyard completion`: the script that makes a shell complete verbs, flags, upstreams and versions. */
export const completionVerb: Verb = {
  name: 'completion',
  args: [{ name: 'SHELL', required: true, help: 'the shell that the script is for', values: Object.keys(SCRIPTS) }],
  flags: {},
  summary: 'prints a script that completes command lines',
  details: 'Verbs, flags and their values, and, by asking the admin API, names of upstreams and versions. The command has to be on the PATH as switchyard.',
  examples: [
    'source <(switchyard completion bash)',
    'switchyard completion bash > /etc/bash_completion.d/switchyard',
    'switchyard completion zsh > "${fpath[1]}/_switchyard"',
    'switchyard completion fish > ~/.config/fish/completions/switchyard.fish',
  ],
  local: true,
  exits: [0, 2],
  run: async ({ args: [shell], io }) => {
    const script = SCRIPTS[shell];
    if (script === undefined)
      throw new CliError(EXIT.usage, `there is no completion for ${JSON.stringify(shell)}; expected ${Object.keys(SCRIPTS).join(', ')}`);
    io.stdout.write(script);
    return EXIT.done;
  },
};
