/** Runs cases against several daemons and says where their answers differ. */

import * as fs from 'node:fs';
import path from 'node:path';
import type { Daemon, DaemonKind, DaemonOptions } from './daemons';
import { startDaemon } from './daemons';
import type { Frontend } from './frontend';
import type { InitRequest } from './fuse';
import { CaseOver, Session } from './transcript';
import type { Step } from './transcript';

/** A sequence of requests. Its folder is looked up first; what it needs, it makes. */
export interface Case {
  readonly name: string;
  /** Fills the folder on the host. Times are set to a fixed moment afterwards. */
  readonly prepare?: (folder: string) => void;
  /** Peers that are known to leave a request of this case unanswered: they are not waited for. */
  readonly silences?: readonly DaemonKind[];
  /** @param dir node id of the case's folder */
  readonly run: (session: Session, dir: bigint) => Promise<unknown>;
}

/** Cases that share a daemon's options. */
export interface Group {
  readonly name: string;
  readonly peers: readonly Exclude<DaemonKind, 'ours'>[];
  readonly options: DaemonOptions;
  readonly init?: InitRequest;
  readonly cases: readonly Case[];
}

/** Ours said one thing, and a peer another. */
export interface Difference {
  readonly peer: DaemonKind;
  /** `group › case › request › field`. */
  readonly where: string;
  readonly ours: string;
  readonly theirs: string;
}

const LONG_AGO = new Date('2020-02-02T20:20:20Z');
const LIMIT_MS = 30_000;
const SILENCE_MS = 300;

/**
 * Runs a group against our daemon and its peers.
 *
 * @param host a folder on a file system that all of them serve parts of
 * @param program of our daemon
 */
export async function runGroup(group: Group, host: string, program: string): Promise<Difference[]> {
  const kinds: readonly DaemonKind[] = ['ours', ...group.peers];
  const transcripts = new Map<DaemonKind, Map<string, readonly Step[]>>();
  for (const kind of kinds) transcripts.set(kind, await runAll(group, kind, host, program));
  const differences: Difference[] = [];
  const ours = transcripts.get('ours');
  for (const peer of group.peers) {
    const theirs = transcripts.get(peer);
    for (const { name } of group.cases) {
      const mine = ours?.get(name) ?? [];
      for (const found of compareSteps(mine, theirs?.get(name) ?? [])) {
        differences.push({ ...found, peer, where: `${group.name} › ${name} › ${found.where}` });
      }
    }
  }
  return differences;
}

async function runAll(
  group: Group,
  kind: DaemonKind,
  host: string,
  program: string,
): Promise<Map<string, readonly Step[]>> {
  const started = Date.now();
  const shared = fs.mkdtempSync(path.join(host, `${kind}-`));
  fs.chmodSync(shared, 0o755);
  group.cases.forEach((each, i) => prepare(each, path.join(shared, `case${i}`)));
  let daemon: Daemon | null = null;
  let guest: Frontend | null = null;
  const found = new Map<string, readonly Step[]>();
  try {
    for (const [i, each] of group.cases.entries()) {
      daemon ??= startDaemon(kind, shared, { ...group.options, program });
      guest ??= await daemon.connect({ limit: LIMIT_MS });
      const limit = each.silences?.includes(kind) === true ? SILENCE_MS : LIMIT_MS;
      const folder = path.join(shared, `case${i}`);
      const session = new Session(daemon, guest, folder, started, limit);
      try {
        await runCase(session, each, group.init);
      } catch (error) {
        throw new Error(`${kind}, ${each.name}: ${session.complaint()}`, { cause: error });
      }
      found.set(each.name, session.steps);
      if (session.gone) {
        await guest.close();
        await daemon.stop();
        guest = null;
        daemon = null;
      }
    }
    return found;
  } finally {
    await guest?.close();
    await daemon?.stop();
    fs.rmSync(shared, { recursive: true, force: true });
  }
}

async function runCase(session: Session, each: Case, init: InitRequest = {}): Promise<void> {
  // As after a reboot: everything that the case before held is gone.
  await session.fs.init(init);
  try {
    await each.run(session, await session.enter());
  } catch (error) {
    if (!(error instanceof CaseOver)) throw error;
  }
  await session.ping();
  session.look();
}

function prepare(each: Case, folder: string): void {
  fs.mkdirSync(folder);
  each.prepare?.(folder);
  fixTimes(folder);
}

function fixTimes(folder: string): void {
  const names = fs.readdirSync(folder, { encoding: 'buffer', withFileTypes: true });
  for (const entry of names) {
    const file = Buffer.concat([Buffer.from(`${folder}/`), entry.name]);
    if (entry.isDirectory()) fixTimes(file.toString());
    fs.lutimesSync(file, LONG_AGO, LONG_AGO);
  }
  fs.lutimesSync(folder, LONG_AGO, LONG_AGO);
}

/** Compares two transcripts, as far as both daemons answer. */
export function compareSteps(
  ours: readonly Step[],
  theirs: readonly Step[],
): Omit<Difference, 'peer'>[] {
  const found: Omit<Difference, 'peer'>[] = [];
  const seen = new Map<string, number>();
  for (let i = 0; i < Math.max(ours.length, theirs.length); i++) {
    const mine = ours[i];
    const other = theirs[i];
    const what = mine?.what ?? other?.what ?? '';
    // The same request may be sent twice.
    const times = (seen.get(what) ?? 0) + 1;
    seen.set(what, times);
    const where = times === 1 ? what : `${what} (${times})`;
    if (mine?.what !== other?.what) {
      found.push({
        where: `${where} › request`,
        ours: mine?.what ?? 'nothing',
        theirs: other?.what ?? 'nothing',
      });
      break;
    }
    const names = new Set([
      ...Object.keys(mine?.fields ?? {}),
      ...Object.keys(other?.fields ?? {}),
    ]);
    if (mine?.fields['errno'] !== other?.fields['errno']) names.clear();
    names.add('errno');
    for (const name of names) {
      const a = String(mine?.fields[name]);
      const b = String(other?.fields[name]);
      if (a !== b) found.push({ where: `${where} › ${name}`, ours: a, theirs: b });
    }
    if ([mine, other].some((step) => step?.fields['errno'] === 'no answer')) break;
  }
  return found;
}

/** A difference that is meant. */
export interface Listed {
  readonly peer: Exclude<DaemonKind, 'ours'>;
  /** What `where` of the difference matches. */
  readonly where: RegExp;
  readonly ours?: RegExp;
  readonly theirs?: RegExp;
  readonly why: string;
}

/** Sorts differences into those that are listed and those that are not; names unused lines. */
export function judge(
  differences: readonly Difference[],
  listed: readonly Listed[],
): { readonly unlisted: Difference[]; readonly unused: Listed[] } {
  const used = new Set<Listed>();
  const unlisted = differences.filter((difference) => {
    const line = listed.find(
      ({ peer, where, ours, theirs }) =>
        peer === difference.peer &&
        where.test(difference.where) &&
        (ours?.test(difference.ours) ?? true) &&
        (theirs?.test(difference.theirs) ?? true),
    );
    if (line !== undefined) used.add(line);
    return line === undefined;
  });
  return { unlisted, unused: listed.filter((line) => !used.has(line)) };
}
