/**
 * Sequences of requests that a seed decides, sent to several daemons in step: after each request
 * the answers are compared, and the first difference ends the sequence.
 */

import * as fs from 'node:fs';
import path from 'node:path';
import type { Difference } from './compare';
import { compareSteps, judge } from './compare';
import type { Listed } from './compare';
import type { Daemon, DaemonKind, DaemonOptions } from './daemons';
import { startDaemon } from './daemons';
import type { Frontend } from './frontend';
import type { Call } from './fuse';
import { requests as r } from './fuse';
import { CaseOver, Session } from './transcript';

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants;
const S_IFREG = 0o100000;
const S_IFIFO = 0o010000;
const LIMIT_MS = 30_000;
const NAMES = ['a', 'b', 'c', 'd', 'e', 'x'.repeat(255), Buffer.from([0xc3, 0x28])] as const;
const USER = { uid: 1000, gid: 1000, pid: 3 };

/** Mulberry32: small, and the same everywhere. */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 ≤ result < below. */
  roll(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  }

  one<T>(list: readonly T[]): T | undefined {
    return list[this.roll(list.length)];
  }
}

/** What every daemon was asked with its own numbers. */
interface Side {
  readonly kind: DaemonKind;
  readonly session: Session;
}

/** A node or handle under the number that each side has for it. */
type Numbers = readonly bigint[];

interface OpenFile {
  readonly node: Numbers;
  readonly fh: Numbers;
  readonly directory: boolean;
}

interface World {
  readonly sides: readonly Side[];
  /** Flags with which files are opened, and made. */
  readonly opening: readonly number[];
  readonly making: readonly number[];
  nodes: { readonly id: Numbers; readonly directory: boolean }[];
  open: OpenFile[];
}

/** Asks every side the same. @returns what each answered, or null when one of them failed */
async function ask<T>(
  world: World,
  make: (side: number) => Call<T>,
  caller = false,
): Promise<readonly T[] | null> {
  const answers: (T | null)[] = [];
  for (const [i, { session }] of world.sides.entries()) {
    answers.push(await session.try(make(i), caller ? { caller: USER } : {}));
  }
  return answers.some((answer) => answer === null) ? null : (answers as T[]);
}

function onEachHost(world: World, act: (folder: string) => void): void {
  for (const { session } of world.sides) act(session.folder);
}

const at = (numbers: Numbers, side: number): bigint => numbers[side] ?? 0n;

interface Found {
  readonly nodeid: bigint;
  readonly attr: { readonly mode: number };
}

function learn(world: World, found: readonly Found[] | null): void {
  if (found === null) return;
  const id = found.map(({ nodeid }) => nodeid);
  if (world.nodes.some((node) => node.id[0] === id[0])) return;
  world.nodes.push({ id, directory: ((found[0]?.attr.mode ?? 0) & 0o170000) === 0o040000 });
}

type Step = (world: World, dice: Dice) => Promise<void>;

const directory = (world: World, dice: Dice): Numbers =>
  dice.one(world.nodes.filter((node) => node.directory))?.id ?? [];
const anyNode = (world: World, dice: Dice): Numbers => dice.one(world.nodes)?.id ?? [];
const name = (dice: Dice) => dice.one(NAMES) ?? 'a';
const file = (world: World, dice: Dice) => dice.one(world.open.filter((each) => !each.directory));
const listing = (world: World, dice: Dice) => dice.one(world.open.filter((each) => each.directory));

async function lookUp(world: World, parent: Numbers, child: string | Buffer): Promise<boolean> {
  const found = await ask(world, (side) => r.lookup(at(parent, side), child));
  learn(world, found);
  return found !== null;
}

const STEPS: readonly (readonly [weight: number, Step])[] = [
  [
    12,
    async (world, dice) => {
      await lookUp(world, directory(world, dice), name(dice));
    },
  ],
  [
    8,
    async (world, dice) => {
      const parent = directory(world, dice);
      const child = name(dice);
      const flags = O_CREAT | O_EXCL | (dice.one(world.making) ?? 0);
      const mode = dice.one([0o644, 0o600, 0o755, 0]) ?? 0;
      const made = await ask(
        world,
        (side) => r.create(at(parent, side), child, flags, mode),
        dice.roll(4) === 0,
      );
      if (made === null) return;
      learn(
        world,
        made.map(({ entry }) => entry),
      );
      world.open.push({
        node: made.map(({ entry }) => entry.nodeid),
        fh: made.map(({ open }) => open.fh),
        directory: false,
      });
    },
  ],
  [
    5,
    async (world, dice) => {
      const parent = directory(world, dice);
      const child = name(dice);
      const mode = dice.one([0o755, 0o700, 0o1777]) ?? 0;
      learn(
        world,
        await ask(world, (side) => r.mkdir(at(parent, side), child, mode), dice.roll(4) === 0),
      );
    },
  ],
  [
    3,
    async (world, dice) => {
      const parent = directory(world, dice);
      const child = name(dice);
      const mode = dice.one([S_IFREG | 0o640, S_IFIFO | 0o600, S_IFREG | 0o4755]) ?? 0;
      learn(world, await ask(world, (side) => r.mknod(at(parent, side), child, mode)));
    },
  ],
  [
    3,
    async (world, dice) => {
      const parent = directory(world, dice);
      const [child, target] = [name(dice), name(dice)];
      learn(world, await ask(world, (side) => r.symlink(at(parent, side), child, target)));
    },
  ],
  [
    3,
    async (world, dice) => {
      const [node, parent, child] = [anyNode(world, dice), directory(world, dice), name(dice)];
      learn(world, await ask(world, (side) => r.link(at(node, side), at(parent, side), child)));
    },
  ],
  [
    5,
    async (world, dice) => {
      const [parent, child] = [directory(world, dice), name(dice)];
      if (!(await lookUp(world, parent, child))) return;
      const remove = dice.roll(3) === 0 ? r.rmdir : r.unlink;
      await ask(world, (side) => remove(at(parent, side), child));
    },
  ],
  [
    5,
    async (world, dice) => {
      const [from, to] = [directory(world, dice), directory(world, dice)];
      const [old, fresh] = [name(dice), name(dice)];
      const flags = dice.one([0, 0, 0, 1, 2]) ?? 0;
      if (!(await lookUp(world, from, old))) return;
      // A guest knows what it moves over, too.
      await lookUp(world, to, fresh);
      await ask(world, (side) => r.rename2(at(from, side), old, at(to, side), fresh, flags));
    },
  ],
  [
    6,
    async (world, dice) => {
      const node = dice.one(world.nodes.filter((each) => !each.directory))?.id;
      const flags = dice.one(world.opening) ?? 0;
      if (node === undefined) return;
      const opened = await ask(world, (side) => r.open(at(node, side), flags));
      if (opened === null) return;
      world.open.push({ node, fh: opened.map(({ fh }) => fh), directory: false });
    },
  ],
  [
    3,
    async (world, dice) => {
      const node = directory(world, dice);
      const opened = await ask(world, (side) => r.opendir(at(node, side)));
      if (opened === null) return;
      world.open.push({ node, fh: opened.map(({ fh }) => fh), directory: true });
    },
  ],
  [
    8,
    async (world, dice) => {
      const open = file(world, dice);
      if (open === undefined) return;
      const [offset, size] = [dice.roll(9000), dice.roll(9000)];
      await ask(world, (side) => r.read(at(open.node, side), at(open.fh, side), offset, size));
    },
  ],
  [
    8,
    async (world, dice) => {
      const open = file(world, dice);
      if (open === undefined) return;
      const [offset, fill] = [dice.roll(9000), dice.roll(256)];
      const data = Buffer.alloc(dice.roll(9000), fill);
      await ask(world, (side) => r.write(at(open.node, side), at(open.fh, side), offset, data));
    },
  ],
  [
    6,
    async (world, dice) => {
      const open = listing(world, dice);
      if (open === undefined) return;
      const plus = dice.roll(2) === 0;
      const size = dice.one([512, 700, 1024, 4096]) ?? 0;
      const read = plus ? r.readdirplus : r.readdir;
      const entries = await ask(world, (side) =>
        read(at(open.node, side), at(open.fh, side), 0, size),
      );
      if (entries === null || !plus) return;
      for (const i of (entries[0] ?? []).keys()) {
        const found = entries.map((list) => list[i] as { entry?: Found } | undefined);
        const nodes = found.flatMap((each) => each?.entry ?? []);
        if (nodes.length === found.length && nodes[0]?.nodeid !== 0n) learn(world, nodes);
      }
    },
  ],
  [
    5,
    async (world, dice) => {
      const [open] = world.open.splice(dice.roll(world.open.length + 1), 1);
      if (open === undefined) return;
      const release = open.directory ? r.releasedir : r.release;
      await ask(world, (side) => release(at(open.node, side), at(open.fh, side)));
    },
  ],
  [
    5,
    async (world, dice) => {
      // Not the case's own folder.
      const i = 1 + dice.roll(world.nodes.length);
      const node = world.nodes[i];
      const session = world.sides[0]?.session;
      if (node === undefined || session === undefined) return;
      // A guest forgets an inode only when nobody has it open.
      if (world.open.some((open) => open.node[0] === node.id[0])) return;
      const count = session.countOf(at(node.id, 0));
      await ask(world, (side) => r.forget(at(node.id, side), count));
      world.nodes.splice(i, 1);
    },
  ],
  [
    5,
    async (world, dice) => {
      const node = anyNode(world, dice);
      await ask(world, (side) => r.getattr(at(node, side)));
    },
  ],
  [
    6,
    async (world, dice) => {
      const node = anyNode(world, dice);
      const changes = dice.one([
        { mode: 0o640 },
        { mode: 0o4711 },
        { uid: 12 },
        { uid: 0, gid: 34 },
        { size: 10 },
        { size: 12_345 },
        { mtime: [99n, 9] as const },
        { atime: 'now' as const, mtime: 'now' as const },
      ]);
      await ask(world, (side) => r.setattr(at(node, side), changes ?? {}));
    },
  ],
  [
    2,
    async (world, dice) => {
      const node = anyNode(world, dice);
      await ask(world, (side) => r.readlink(at(node, side)));
    },
  ],
  [
    3,
    async (world, dice) => {
      const open = file(world, dice);
      if (open === undefined) return;
      const [offset, length, mode] = [dice.roll(9000), 1 + dice.roll(9000), dice.one([0, 1, 3])];
      await ask(world, (side) =>
        r.fallocate(at(open.node, side), at(open.fh, side), offset, length, mode),
      );
    },
  ],
  [
    2,
    async (world, dice) => {
      const open = file(world, dice);
      if (open === undefined) return;
      await ask(world, (side) => r.flush(at(open.node, side), at(open.fh, side)));
    },
  ],
  [
    3,
    async (world, dice) => {
      const [from, to] = [file(world, dice), file(world, dice)];
      if (from === undefined || to === undefined) return;
      const [a, b, length] = [dice.roll(9000), dice.roll(9000), dice.roll(9000)];
      await ask(world, (side) =>
        r.copyFileRange(
          { nodeid: at(from.node, side), fh: at(from.fh, side), offset: a },
          { nodeid: at(to.node, side), fh: at(to.fh, side), offset: b },
          length,
        ),
      );
    },
  ],
  [
    // Somebody works on the host meanwhile.
    3,
    (world, dice) => {
      const which = String(dice.one(['a', 'b', 'c', 'd', 'e']));
      const act = dice.roll(3);
      onEachHost(world, (folder) => {
        const target = path.join(folder, which);
        const taken = fs.lstatSync(target, { throwIfNoEntry: false }) !== undefined;
        if (act === 0) fs.rmSync(target, { recursive: true, force: true });
        else if (act === 1 && !taken) fs.writeFileSync(target, 'from the host');
        else if (act === 2 && !taken) fs.mkdirSync(target);
      });
      return Promise.resolve();
    },
  ],
];

const TOTAL = STEPS.reduce((sum, [weight]) => sum + weight, 0);

function choose(dice: Dice): Step {
  let left = dice.roll(TOTAL);
  for (const [weight, step] of STEPS) {
    left -= weight;
    if (left < 0) return step;
  }
  throw new Error('The weights do not add up.');
}

export interface Sequences {
  readonly name: string;
  readonly peers: readonly Exclude<DaemonKind, 'ours'>[];
  readonly options: DaemonOptions;
  readonly seeds: readonly number[];
  readonly length: number;
}

/** @returns what differed and is not listed, at most one difference a seed and peer */
export async function runSequences(
  given: Sequences,
  host: string,
  program: string,
  listed: readonly Listed[],
): Promise<Difference[]> {
  const kinds: readonly DaemonKind[] = ['ours', ...given.peers];
  const shared = kinds.map((kind) => fs.mkdtempSync(path.join(host, `${kind}-`)));
  const daemons: Daemon[] = [];
  const guests: Frontend[] = [];
  const found: Difference[] = [];
  try {
    for (const [i, kind] of kinds.entries()) {
      fs.chmodSync(shared[i] ?? '', 0o755);
      const daemon = startDaemon(kind, shared[i] ?? '', { ...given.options, program });
      daemons.push(daemon);
      guests.push(await daemon.connect({ limit: LIMIT_MS }));
    }
    for (const seed of given.seeds) {
      const started = Date.now();
      const sides: Side[] = [];
      for (const [i, kind] of kinds.entries()) {
        const folder = path.join(shared[i] ?? '', `seed${seed}`);
        fs.mkdirSync(folder);
        const [daemon, guest] = [daemons[i], guests[i]];
        if (daemon === undefined || guest === undefined) throw new Error('A daemon is missing.');
        await guest.init();
        sides.push({ kind, session: new Session(daemon, guest, folder, started, LIMIT_MS) });
      }
      const world: World = { sides, nodes: [], open: [], ...flagsFor(given) };
      const where = `${given.name}, seed ${seed}`;
      found.push(...(await runOne(where, world, new Dice(seed), given.length, listed)));
    }
    return found;
  } finally {
    for (const guest of guests) await guest.close();
    for (const daemon of daemons) await daemon.stop();
    for (const folder of shared) fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** What a peer treats otherwise than we do would end most sequences: the written cases have it. */
function flagsFor({ peers, options }: Sequences): Pick<World, 'opening' | 'making'> {
  const opening = [O_RDONLY, O_RDWR, O_WRONLY, O_RDWR | O_TRUNC];
  if (!peers.includes('c')) opening.push(O_RDWR | O_APPEND);
  const making = [O_RDWR, O_RDWR | O_TRUNC];
  if (options.writeback !== true) making.push(O_WRONLY);
  return { opening, making };
}

async function runOne(
  where: string,
  world: World,
  dice: Dice,
  length: number,
  listed: readonly Listed[],
): Promise<Difference[]> {
  const { sides } = world;
  const dirs: bigint[] = [];
  for (const { session } of sides) dirs.push(await session.enter());
  world.nodes.push({ id: dirs, directory: true });
  let compared = 0;
  for (let i = 0; i < length; i++) {
    try {
      await choose(dice)(world, dice);
    } catch (error) {
      // One side is gone, which the comparison says.
      if (!(error instanceof CaseOver)) throw error;
    }
    const differences = compareSides(where, sides, compared);
    const { unlisted } = judge(differences, listed);
    if (unlisted.length > 0) return unlisted;
    // A listed difference may have led the trees apart.
    if (differences.length > 0 || sides.some(({ session }) => session.gone)) return [];
    compared = sides[0]?.session.steps.length ?? 0;
  }
  for (const { session } of sides) session.look();
  return judge(compareSides(where, sides, compared), listed).unlisted;
}

/** How blocks are allocated is the file system's affair, and no two copies of a tree agree on it. */
const withoutBlocks = (fields: Session['steps'][number]['fields']) =>
  Object.fromEntries(Object.entries(fields).filter(([field]) => !field.endsWith('blocks')));

function compareSides(where: string, sides: readonly Side[], from: number): Difference[] {
  const stepsOf = ({ session }: Side) =>
    session.steps.slice(from).map(({ what, fields }) => ({ what, fields: withoutBlocks(fields) }));
  const [ours, ...others] = sides;
  if (ours === undefined) return [];
  return others.flatMap((side) =>
    compareSteps(stepsOf(ours), stepsOf(side)).map((difference) => ({
      ...difference,
      peer: side.kind,
      where: `${where}, step ${from} › ${difference.where}`,
    })),
  );
}
