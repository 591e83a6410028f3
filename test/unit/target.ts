/** What a daemon of a unit test says of itself. */

import type { HandleMode, Target } from '../../daemon/protocol/json';
import type { LookupRuleName } from '../../daemon/tables/lookupRule';

export function targetOf(
  mode: HandleMode = 'prefer',
  lookupRule: LookupRuleName = 'handle-then-fd',
): Target {
  return {
    kind: 'serve',
    pid: process.pid,
    implementation: 'virtiofsd-inspector test',
    sharedDir: '/srv/share',
    lookupRule,
    inodeFileHandles: { requested: mode, effective: mode },
    level: 'instrumented',
    complete: true,
    transport: 'none',
  };
}
