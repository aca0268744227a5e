import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';
import { membersAsBackends } from '../pool/version.ts';
import type { VersionInput } from '../swap/ports.ts';

/** The members of a version as a deployer names them: how many, or each by its name. */
export type MembersInput = number | readonly string[];

function refuse(path: string, message: string): never {
  throw new Refusal(REFUSAL.invalid, `${path}: ${message}`, {}, [{ path, message }]);
}

/**
 * The backends of a version that was declared by members or by addresses, whichever its upstream has; undefined = neither was named.
 * @throws Refusal for those that it has not.
 */
export function backendsOf(
  policy: Pick<UpstreamPolicy, 'worker'>,
  id: string,
  { members, backends }: { readonly members?: MembersInput; readonly backends?: VersionInput['backends'] },
): VersionInput['backends'] | undefined {
  const { worker } = policy;
  if (members !== undefined && worker === null) refuse('members', 'expected backends, because this upstream serves requests');
  if (members !== undefined && worker?.poll != null) refuse('members', 'expected backends, because the members of this upstream are polled');
  if (backends !== undefined && worker !== null && worker.poll === null)
    refuse('backends', 'expected members, because those of this upstream report by themselves');
  return members === undefined ? backends : membersAsBackends(id, members);
}
