/** What the host offers to a daemon that this user starts. */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import type { Addon } from '../../native/index';
import type { HostFacts } from './report';

/** Those that virtiofsd keeps, and those that its sandbox takes; bits of capabilities(7). */
const CAPABILITIES: Readonly<Record<string, number>> = {
  CAP_CHOWN: 0,
  CAP_DAC_OVERRIDE: 1,
  CAP_DAC_READ_SEARCH: 2,
  CAP_FOWNER: 3,
  CAP_FSETID: 4,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SYS_CHROOT: 18,
  CAP_SYS_ADMIN: 21,
  CAP_MKNOD: 27,
  CAP_SETFCAP: 31,
};

const CAP_SYS_RESOURCE = 24;

/** What virtiofsd raises the descriptor limit to. */
const WANTED_DESCRIPTORS = 1_000_000;
const NOBODY = 65_534;

export function hostFacts(native: Addon): HostFacts {
  const effective = BigInt(`0x${/^CapEff:\s*(\w+)$/m.exec(read('/proc/self/status'))?.[1] ?? '0'}`);
  const uid = process.geteuid?.() ?? -1;
  const { soft, hard } = native.openFilesLimit();
  const most = Number(read('/proc/sys/fs/nr_open'));
  const wanted = Math.min(WANTED_DESCRIPTORS, most);
  const mayRaise = has(effective, CAP_SYS_RESOURCE);
  return {
    kernel: release(),
    uid,
    // The initial one maps every id onto itself (user_namespaces(7)).
    initialUserNamespace: /^\s*0\s+0\s+4294967295\s*$/.test(read('/proc/self/uid_map')),
    missingCapabilities: Object.entries(CAPABILITIES)
      .filter(([, bit]) => !has(effective, bit))
      .map(([name]) => name),
    userNamespaces: tryUserNamespaces(uid),
    descriptors: {
      soft,
      hard,
      most,
      mayRaise,
      daemonGets: Math.max(soft, mayRaise ? wanted : Math.min(hard, wanted)),
    },
  };
}

function has(capabilities: bigint, bit: number): boolean {
  return (capabilities & (1n << BigInt(bit))) !== 0n;
}

/** Makes the namespaces that virtiofsd makes for an ordinary user, in a process that ends at once. */
function tryUserNamespaces(uid: number): HostFacts['userNamespaces'] {
  const most = settingOf('/proc/sys/user/max_user_namespaces');
  if (most === '0') return { possible: false, why: 'user.max_user_namespaces is 0' };
  const args = ['--user', '--map-root-user', '--mount', '--pid', '--net', '--fork', 'true'];
  const identity = uid === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const done = spawnSync('unshare', args, { ...identity, cwd: '/', timeout: 10_000 });
  const who = uid === 0 ? 'tried as user nobody' : 'tried as this user';
  if (done.error !== undefined || done.status === null) {
    return { possible: null, why: 'unshare(1) could not be run to try' };
  }
  if (done.status === 0) return { possible: true, why: who };
  const causes = [
    settingOf('/proc/sys/kernel/unprivileged_userns_clone') === '0'
      ? 'kernel.unprivileged_userns_clone is 0'
      : null,
    settingOf('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === '1'
      ? 'kernel.apparmor_restrict_unprivileged_userns is 1'
      : null,
  ].filter((cause) => cause !== null);
  return { possible: false, why: [who, ...causes].join('; ') };
}

function settingOf(file: string): string | null {
  return existsSync(file) ? read(file).trim() : null;
}

function read(file: string): string {
  return readFileSync(file, 'utf8');
}
