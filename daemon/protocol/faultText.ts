/** Faults as people write and read them. */

import { FAULT_CALLS } from '../tables/stops';
import type { FaultJson } from './debug';

/**
 * `CALL=ERRNO[:next|:every|:N][@GLOB]`.
 *
 * @throws Error with a sentence when it is not of that form
 */
export function parseFault(spec: string, id: number): FaultJson {
  const parts = /^([a-z_]+)=(E[A-Z0-9]+)(?::(next|every|[0-9]+))?(?:@(.+))?$/.exec(spec);
  const call = FAULT_CALLS.find((known) => known === parts?.[1]);
  const errno = parts?.[2];
  if (call === undefined || errno === undefined) {
    throw new Error(
      `A fault is CALL=ERRNO[:next|:every|:N][@GLOB] with CALL one of ${FAULT_CALLS.join(', ')}; ` +
        `“${spec}” is not.`,
    );
  }
  const when = parts?.[3] ?? 'next';
  const path = parts?.[4];
  return {
    id,
    call,
    errno,
    ...(path === undefined ? {} : { path }),
    when: when === 'next' || when === 'every' ? { kind: when } : { kind: 'nth', n: Number(when) },
  };
}

export function faultText({ call, errno, path, when }: FaultJson): string {
  const whenText = when.kind === 'nth' ? `the ${when.n}. from now on` : when.kind;
  return `${call} fails with ${errno}, ${whenText}${path === undefined ? '' : `, for ${path}`}`;
}
