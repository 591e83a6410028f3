/** From the findings to a verdict, the options to use, and the commands to type. Pure. */

import type { Severity } from '../hazards/hazard';
import { SEVERITIES } from '../hazards/hazard';
import type { Surroundings } from './judge';
import { descriptorsNeeded, holdsHandles, judgeMount, judgeShare, limitFor } from './judge';
import type {
  CheckedMount,
  CheckReport,
  Finding,
  HandleMode,
  HostFacts,
  Level,
  MountFacts,
  Program,
  Recommendation,
  Verdict,
} from './report';
import { HANDLE_MODES, PROGRAMS } from './report';
import { grouped } from './words';

export type Advice = Pick<
  CheckReport,
  'verdict' | 'recommended' | 'findings' | 'mounts' | 'commands' | 'notVerified'
>;

type Modes = Readonly<Record<Program, HandleMode>>;

/** @param directory as text; it is what the commands name */
export function advise(around: Surroundings, directory: string): Advice {
  const [share] = around.mounts;
  if (share === undefined) throw new Error('There is no mount to judge.');
  const ofShare = judgeShare(around);
  const judged = around.mounts.map((mount) => ({ mount, findings: judgeMount(mount, around) }));
  const all = [...ofShare, ...judged.flatMap(({ findings }) => findings)];
  const modes: Modes = {
    virtiofsd: bestMode(share, all, 'virtiofsd'),
    'virtiofsd-inspector': bestMode(share, all, 'virtiofsd-inspector'),
  };
  const mounts = judged.map(({ mount, findings }) => ({
    ...mount,
    findings,
    verdict: mountVerdict(mount, findings, modes),
  }));
  const recommended = recommend(around, share, all, modes);
  return {
    verdict: shareVerdict(mounts, ofShare, modes),
    recommended,
    commands: commandsFor(recommended, directory),
    findings: ofShare,
    mounts,
    notVerified: notVerified(around, all),
  };
}

/** What remains when a program runs in a mode. */
function remaining(
  findings: readonly Finding[],
  program: Program,
  mode: HandleMode,
): readonly Finding[] {
  return findings.filter(
    ({ modes, programs }) => modes.includes(mode) && programs.includes(program),
  );
}

function worstOf(findings: readonly Finding[]): Finding | undefined {
  return [...findings].sort((a, b) => rank(a.severity) - rank(b.severity))[0];
}

function rank(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
}

/**
 * The mode that leaves the least. Never `mandatory`: it leaves what `prefer` leaves, and fails where
 * that goes on without handles.
 */
function bestMode(share: MountFacts, findings: readonly Finding[], program: Program): HandleMode {
  // Without handles on the share itself prefer ends as never.
  if (!holdsHandles(share, 'prefer')) return 'never';
  const cost = (mode: HandleMode): number[] => costs(remaining(findings, program, mode));
  return isLess(cost('never'), cost('prefer')) ? 'never' : 'prefer';
}

/** How many findings of each severity, the worst first; what is only to be known costs nothing. */
function costs(findings: readonly Finding[]): number[] {
  return SEVERITIES.filter((severity) => severity !== 'information').map(
    (wanted) => findings.filter(({ severity }) => severity === wanted).length,
  );
}

function isLess(costs: readonly number[], others: readonly number[]): boolean {
  const at = costs.findIndex((cost, index) => cost !== others[index]);
  return at >= 0 && (costs[at] ?? 0) < (others[at] ?? 0);
}

function levelOf(finding: Finding | undefined): Level {
  switch (finding?.severity) {
    case 'data':
      return 'bad';
    case 'error':
    case 'identity':
      return 'care';
    case 'resource':
    case 'information':
    case undefined:
      return 'good';
  }
}

const SEVERITY_MEANS: Readonly<Record<Severity, string>> = {
  data: 'A guest may read or write the wrong file:',
  error: 'A guest may see errors:',
  identity: 'One file may get two node ids:',
  resource: 'Resources may run short:',
  information: 'To know:',
};

function mountVerdict(mount: MountFacts, findings: readonly Finding[], modes: Modes): Verdict {
  if (mount.reach.state !== 'reached') {
    return { level: 'good', text: 'The guest does not see it.' };
  }
  const odd = findings.find(({ hazard }) => hazard === null);
  if (odd !== undefined) return { level: 'good', text: odd.text };
  const worst = worstOf(
    PROGRAMS.flatMap((program) => [...remaining(findings, program, modes[program])]),
  );
  const level = levelOf(worst);
  if (worst !== undefined && level !== 'good') {
    return {
      level,
      text: `${SEVERITY_MEANS[worst.severity]} ${worst.hazard ?? ''} ${worst.name}.`,
    };
  }
  const holds = new Set(Object.values(modes).map((mode) => (mode === 'never' ? 'no' : 'yes')));
  if (mount.handles.state !== 'yes' || !holds.has('yes')) {
    return {
      level,
      text: 'Its entries hold descriptors, which keep their inode numbers from being used again.',
    };
  }
  return { level, text: 'Handles work, and tell a new file from an old one of the same number.' };
}

function shareVerdict(
  mounts: readonly CheckedMount[],
  ofShare: readonly Finding[],
  modes: Modes,
): Verdict {
  const left = worstOf(
    PROGRAMS.flatMap((program) => [...remaining(ofShare, program, modes[program])]),
  );
  const levels = [levelOf(left), ...mounts.map(({ verdict }) => verdict.level)];
  const level =
    (['bad', 'care'] as const).find((candidate) => levels.includes(candidate)) ?? 'good';
  const see = [
    ...(left !== undefined && levelOf(left) === level ? [left.name] : []),
    ...mounts.filter(({ verdict }) => verdict.level === level).map(({ path }) => path),
  ].join(', ');
  const mode =
    modes.virtiofsd === modes['virtiofsd-inspector']
      ? `--inode-file-handles=${modes.virtiofsd}`
      : `--inode-file-handles=${modes.virtiofsd} for virtiofsd and ` +
        `--inode-file-handles=${modes['virtiofsd-inspector']} for virtiofsd Inspector`;
  switch (level) {
    case 'good':
      return { level, text: `It can be shared, with ${mode}.` };
    case 'care':
      return {
        level,
        text: `It can be shared, best with ${mode}, but a guest may see errors. See ${see}.`,
      };
    case 'bad':
      return {
        level,
        text: `A guest may read or write the wrong file. Do not share it as it is; see ${see}.`,
      };
  }
}

// --- options ------------------------------------------------------------------------------------

function recommend(
  around: Surroundings,
  share: MountFacts,
  findings: readonly Finding[],
  modes: Modes,
): Recommendation[] {
  const { host, mounts } = around;
  const out: Recommendation[] = [];
  for (const mode of HANDLE_MODES) {
    const programs = PROGRAMS.filter((program) => modes[program] === mode);
    if (programs.length === 0) continue;
    out.push({
      programs,
      option: `--inode-file-handles=${mode}`,
      ...modeReason(share, findings, mode, programs),
    });
  }
  const needed = Math.max(
    ...PROGRAMS.map((program) => descriptorsNeeded(around, modes[program]).count),
  );
  const limit = limitFor(needed);
  if (limit > host.descriptors.daemonGets && limit <= host.descriptors.most) {
    const first =
      limit > host.descriptors.hard && !host.descriptors.mayRaise
        ? '; raise the hard limit (ulimit -Hn) first'
        : '';
    out.push({
      programs: PROGRAMS,
      option: `--rlimit-nofile=${limit}`,
      reason: `${grouped(needed)} entries hold a descriptor each${first}.`,
      hazards: ['H23'],
    });
  }
  const sandbox = sandboxFor(host);
  if (sandbox !== null) out.push({ programs: PROGRAMS, ...sandbox, hazards: [] });
  const below = mounts.filter(({ role, reach }) => role === 'below' && reach.state === 'reached');
  if (below.length > 0) {
    out.push({
      programs: PROGRAMS,
      option: '--announce-submounts',
      reason:
        'There are mounts below the directory: without it, files of different ones can look like ' +
        'one file to the guest. It is the default of both.',
      hazards: [],
    });
  }
  return out;
}

/** Where the default, --sandbox=namespace, cannot be had. */
function sandboxFor(host: HostFacts): Pick<Recommendation, 'option' | 'reason'> | null {
  const lacks = (name: string): boolean => host.missingCapabilities.includes(name);
  if (host.uid === 0 && lacks('CAP_SYS_ADMIN')) {
    const reason = 'Root makes namespaces with CAP_SYS_ADMIN, which is missing here.';
    return { option: lacks('CAP_SYS_CHROOT') ? '--sandbox=none' : '--sandbox=chroot', reason };
  }
  if (host.uid !== 0 && host.userNamespaces.possible === false) {
    return {
      option: '--sandbox=none',
      reason:
        'An ordinary user needs user namespaces for --sandbox=namespace, and gets none here ' +
        `(${host.userNamespaces.why}).`,
    };
  }
  return null;
}

/** Why a mode, told by what the other modes would leave. */
function modeReason(
  share: MountFacts,
  findings: readonly Finding[],
  mode: HandleMode,
  programs: readonly Program[],
): Pick<Recommendation, 'reason' | 'hazards'> {
  const avoided = findings.filter(
    (finding) =>
      !finding.modes.includes(mode) &&
      levelOf(finding) !== 'good' &&
      finding.programs.some((program) => programs.includes(program)),
  );
  const hazards = [...new Set(avoided.flatMap(({ hazard }) => hazard ?? []))];
  const names = new Set(
    avoided.flatMap(({ hazard, name }) => (hazard === null ? [] : `${hazard} ${name}`)),
  );
  const spared = names.size === 0 ? '' : ` It avoids ${[...names].join(', ')}.`;
  if (mode !== 'never') {
    const reason =
      'Entries hold handles: no descriptor each, and a new file is told from an old one by its ' +
      `handle.${spared}`;
    return { reason, hazards };
  }
  const cause =
    share.handles.state === 'volatile'
      ? 'Handles of this file system need not last.'
      : share.handles.state === 'yes'
        ? 'Handles do not work on every mount here.'
        : 'Handles cannot be used here.';
  return {
    reason:
      `${cause} Descriptors pin their files: room on the disk is freed only when the guest forgets ` +
      `a removed file (H24).${spared}`,
    hazards: [...hazards, 'H24'],
  };
}

function commandsFor(
  recommended: readonly Recommendation[],
  directory: string,
): CheckReport['commands'] {
  const words = (program: Program, ...command: string[]): string[] => [
    ...command,
    ...['--shared-dir', shellWord(directory)],
    ...['--socket-path', 'SOCKET'],
    ...recommended.filter(({ programs }) => programs.includes(program)).map(({ option }) => option),
  ];
  return {
    virtiofsd: words('virtiofsd', 'virtiofsd'),
    'virtiofsd-inspector': words('virtiofsd-inspector', 'virtiofsd-inspector', 'serve'),
  };
}

/** A word as a shell takes it; text in which bytes are written as \xNN, for bash. */
export function shellWord(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  if (text.includes('\\')) return `$'${text.replaceAll("'", "\\'")}'`;
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function notVerified({ host }: Surroundings, findings: readonly Finding[]): string[] {
  const unproven = new Set(
    findings
      .filter(({ verified }) => !verified)
      .map(({ hazard, name }) => `${hazard ?? ''} ${name}`),
  );
  return [
    ...[...unproven].map((name) => `${name}: known from sources, not reproduced by our tests.`),
    ...(host.userNamespaces.possible === null
      ? [`User namespaces: ${host.userNamespaces.why}.`]
      : []),
  ];
}
