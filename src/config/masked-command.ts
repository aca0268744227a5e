const CALLED = '(?:auth|credential|key|passw|secret|token)';
/** An option that is called a secret, with its value; or without, so that the next argument is it. */
const OPTION = new RegExp(`^(--?[^=]*${CALLED}[^=]*)(?:=(.*))?$`, 'is');
/** A variable that is called a secret, as a word or in a script. Names are bounded: a long text must not take long. */
const VARIABLE = new RegExp(`\\b(\\w{0,100}${CALLED}\\w{0,100})=("[^"]*"|'[^']*'|[^\\s;&|"']+)`, 'gi');
/** An option that is called a secret, with its value, in a script. */
const WITHIN = new RegExp(`(?<=^|\\s)(--?[\\w-]{0,100}${CALLED}[\\w-]{0,100}[=\\s]\\s*)("[^"]*"|'[^']*'|[^-\\s;&|"'][^\\s;&|"']*)`, 'gi');
/** The password in a URL. */
const PASSWORD = /(:\/\/[^\s/:@]*):([^\s/@]+)@/g;

/**
 * A command without what in it is called a secret: values of options and variables, and passwords in URLs.
 * @param mask what is shown instead of one
 */
export function maskedCommand(command: readonly string[], mask: (secret: string) => string = () => '***'): string[] {
  return command.map((word, i) => {
    const [, name, value] = OPTION.exec(word) ?? [];
    if (name !== undefined) return value === undefined ? word : `${name}=${mask(value)}`;
    const [, before, inline] = OPTION.exec(command[i - 1] ?? '') ?? [];
    if (before !== undefined && inline === undefined && !word.startsWith('-')) return mask(word);
    return word
      .replaceAll(WITHIN, (_, option: string, secret: string) => `${option}${mask(secret)}`)
      .replaceAll(VARIABLE, (_, variable: string, secret: string) => `${variable}=${mask(secret)}`)
      .replaceAll(PASSWORD, (_, user: string, secret: string) => `${user}:${mask(secret)}@`);
  });
}
