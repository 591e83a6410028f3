/**
 * The gate with a real file system in this process: random requests, random commands of a debugger.
 * Every request is answered exactly once, the tables count what the answers say, and a model folded
 * from the events equals them.
 */

import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { DebugGate } from '../../daemon/debug/gate';
import type { Breakpoint, DebugCommand, DebugReport, Fault } from '../../daemon/debug/spec';
import { OPERATION_NAMES, Opcode } from '../../daemon/fuse/opcodes';
import { NAMING } from '../../daemon/inspector/debugNaming';
import { createFileSystem } from '../../daemon/passthrough/fileSystem';
import { applyEvent } from '../../daemon/tables/events';
import type { Nodeid } from '../../daemon/tables/identity';
import { InodeTables } from '../../daemon/tables/inodeTables';
import { LOOKUP_RULES } from '../../daemon/tables/lookupRule';
import { FAULT_CALLS, STOP_POINTS } from '../../daemon/tables/stops';
import { RingReader, RingWriter, makeRing } from '../../daemon/trace/eventRing';
import { RingRecorder, readRecord } from '../../daemon/trace/record';
import { serveTurns } from '../../daemon/transport/turns';
import { REPLY, REQUEST, loadAddon } from '../../native/index';
import { joined, text, words, zeros } from './fusePeer';

const native = loadAddon();
const SEQUENCES = 1_000;
const TURNS = 40;
const NAMES = ['a', 'b', 'c', 'd', 'e'];

/** Numbers that look random and are the same each time (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const BREAKPOINT: Breakpoint = {
  id: 1,
  opcodes: null,
  decision: null,
  node: null,
  ids: null,
  handle: null,
  path: null,
  hit: null,
  hazard: false,
  errno: null,
  fdsAbove: null,
  key: null,
  entry: null,
  condition: null,
  hits: null,
  log: null,
};

/** A guest that remembers what it was told, and a debugger that does what comes to its mind. */
class World {
  readonly shared = fs.mkdtempSync(path.join(os.tmpdir(), 'gate-'));
  readonly tables = new InodeTables(LOOKUP_RULES['handle-then-fd']);
  readonly ring = makeRing();
  readonly reader = new RingReader(this.ring);
  readonly model = new InodeTables(LOOKUP_RULES['handle-then-fd']);
  readonly gate: DebugGate;
  readonly fileSystem;
  readonly random: () => number;
  /** Answers by unique; a silent request has none. */
  readonly answers = new Map<number, number>();
  readonly asked = new Map<number, number>();
  /** What the guest counts, by node id. */
  readonly counts = new Map<number, number>();
  readonly stopped = new Set<number>();
  /** The largest number of requests that were held at once, and how many stops there were. */
  depth = 0;
  stops = 0;
  released = 0;
  seq = 1;
  #unique = 2;
  directory = 0;

  constructor(seed: number) {
    this.random = randomFrom(seed);
    const recorder = new RingRecorder(new RingWriter(this.ring, () => undefined), this.tables);
    this.gate = new DebugGate(this.tables, NAMING, recorder, (report) => this.#take(report));
    this.fileSystem = createFileSystem(
      {
        sharedDir: this.shared,
        inodeFileHandles: 'prefer',
        lookupRule: LOOKUP_RULES['handle-then-fd'],
        cache: 'auto',
        xattr: false,
        readonly: false,
        writeback: false,
        readdirplus: true,
        allowDirectIo: false,
        preserveNoatime: false,
        announceSubmounts: true,
        rlimitNofile: 0,
      },
      native,
      this.tables,
      recorder,
      () => undefined,
      undefined,
      this.gate,
    );
    for (const name of NAMES) fs.writeFileSync(path.join(this.shared, name), name);
  }

  #take(report: DebugReport): void {
    if (report.type === 'stopped') {
      this.stops++;
      this.stopped.add(report.stop.request);
      this.depth = Math.max(this.depth, this.gate.held);
      // A stop can be sent away as it is.
      structuredClone(report);
    } else if (report.type === 'resumed') this.stopped.delete(report.request);
    else if (report.type === 'released') this.released++;
  }

  pick<T>(of: readonly T[]): T {
    const found = of[Math.floor(this.random() * of.length)];
    if (found === undefined) throw new Error('nothing to pick from');
    return found;
  }

  // --- the guest ----------------------------------------------------------------------------------

  put(opcode: number, nodeid: number, body: Uint8Array): number {
    const { u8, u32 } = this.fileSystem.memory;
    const length = 40 + body.length;
    u32.set([length, opcode, this.#unique, 0, nodeid, 0, 0, 0, 0, 0], REQUEST >> 2);
    u8.set(body, REQUEST + 40);
    this.asked.set(this.#unique, opcode);
    this.#unique += 2;
    return length;
  }

  request(): number {
    const name = text(this.pick(NAMES));
    switch (this.pick(['lookup', 'lookup', 'list', 'forget', 'create', 'unlink', 'link', 'host'])) {
      case 'lookup':
        return this.put(Opcode.LOOKUP, 1, name);
      case 'list':
        return this.put(Opcode.READDIRPLUS, 1, words(this.directory, 0, 0, 0, 4096, 0, 0, 0, 0, 0));
      case 'forget': {
        const known = [...this.counts].filter(([, count]) => count > 0);
        if (known.length === 0) return this.put(Opcode.GETATTR, 1, zeroBody());
        const [node, count] = this.pick(known);
        const forgotten = 1 + Math.floor(this.random() * count);
        this.counts.set(node, count - forgotten);
        return this.put(Opcode.FORGET, node, words(forgotten, 0));
      }
      case 'create':
        return this.put(Opcode.CREATE, 1, joined(words(0o102, 0o644, 0, 0), name));
      case 'unlink':
        return this.put(Opcode.UNLINK, 1, name);
      case 'link': {
        const known = [...this.counts].filter(([, count]) => count > 0);
        const node = known.length === 0 ? 1 : this.pick(known)[0];
        return this.put(Opcode.LINK, 1, joined(words(node, 0), name));
      }
      default: {
        const file = path.join(this.shared, this.pick(NAMES));
        fs.rmSync(file, { force: true });
        if (this.random() < 0.7) fs.writeFileSync(file, 'new');
        return this.put(Opcode.GETATTR, 1, zeroBody());
      }
    }
  }

  /** An answer stands at REPLY. */
  answer(length: number): void {
    if (length === 0) return;
    const { u32, i32, u8 } = this.fileSystem.memory;
    const at = REPLY >> 2;
    expect(u32[at]).toBe(length);
    const unique = u32[at + 2] ?? 0;
    this.answers.set(unique, (this.answers.get(unique) ?? 0) + 1);
    const opcode = this.asked.get(unique) ?? 0;
    if (i32[at + 1] !== 0) return;
    if (opcode === Opcode.OPENDIR) this.directory = u32[at + 4] ?? 0;
    if (opcode === Opcode.LOOKUP || opcode === Opcode.CREATE || opcode === Opcode.LINK) {
      this.#count(u32[at + 4] ?? 0);
    }
    if (opcode !== Opcode.READDIRPLUS) return;
    for (let entry = REPLY + 16; entry < REPLY + length;) {
      const nameLength = u32[(entry + 128 + 16) >> 2] ?? 0;
      const first = u8[entry + 128 + 24];
      if (first !== 0x2e) this.#count(u32[entry >> 2] ?? 0);
      entry += 128 + ((24 + nameLength + 7) & ~7);
    }
  }

  #count(node: number): void {
    this.counts.set(node, (this.counts.get(node) ?? 0) + 1);
  }

  // --- the debugger -------------------------------------------------------------------------------

  command(): DebugCommand {
    const held = [...this.stopped];
    const request = held.length === 0 ? 0 : this.pick(held);
    switch (this.pick(['break', 'fault', 'pause', 'step', 'step', 'step', 'go', 'all', 'leave'])) {
      case 'break':
        return { type: 'breakpoints', breakpoints: [this.breakpoint(), this.breakpoint()] };
      case 'fault':
        return { type: 'faults', faults: [this.fault()] };
      case 'pause':
        return { type: 'pause' };
      case 'step':
        return { type: 'step', request, how: this.pick(['over', 'into', 'out'] as const) };
      case 'go':
        return { type: 'continue', request };
      case 'all':
        return { type: 'continue', request: null };
      default:
        return { type: 'release', reason: 'disconnected' };
    }
  }

  breakpoint(): Breakpoint {
    return this.pick<() => Breakpoint>([
      () => ({ ...BREAKPOINT, opcodes: [this.pick([...OPERATION_NAMES.keys()])] }),
      () => ({ ...BREAKPOINT, decision: this.pick(STOP_POINTS) }),
      () => ({ ...BREAKPOINT, path: this.pick([...NAMES, '*', '**/a']) }),
      () => ({ ...BREAKPOINT, entry: (2 + Math.floor(this.random() * 9)) as Nodeid }),
      () => ({ ...BREAKPOINT, hit: this.pick(['miss', 'handle_hit', 'fallback_rejected']) }),
      () => ({ ...BREAKPOINT, condition: 'nlink > 1 || errno == "ENOENT"' }),
      () => ({ ...BREAKPOINT, opcodes: [Opcode.LOOKUP], hits: { when: 'every', count: 3 } }),
      () => ({ ...BREAKPOINT, opcodes: [Opcode.LOOKUP], log: '{path} {answer}' }),
    ])();
  }

  fault(): Fault {
    return {
      id: 1,
      call: this.pick(FAULT_CALLS),
      errno: this.pick([12, 95, 116]),
      path: this.pick([null, ...NAMES]),
      when: this.pick([{ kind: 'next' }, { kind: 'every' }, { kind: 'nth', n: 2 }] as const),
    };
  }

  // --- the end ------------------------------------------------------------------------------------

  /** Serves what `next` gives: the length of a request, 0 after a command, or -1 at the end. */
  serve(next: () => number): void {
    serveTurns<'over'>(
      native,
      this.fileSystem,
      { sendFile: () => -5, writeFile: () => -5 },
      {
        receive: next,
        answer: (length) => this.answer(length),
        answerAndReceive: (length) => {
          this.answer(length);
          return next();
        },
        other: (received) => (received === 0 ? null : 'over'),
      },
    );
  }

  fold(): void {
    const sink = {
      nextSeq: () => this.seq++,
      event: (event: Parameters<typeof applyEvent>[1]) => applyEvent(this.model, event),
      volume: () => undefined,
    };
    while (this.reader.drain(1_000, (ring, at) => readRecord(ring, at, new Map(), sink)) > 0);
  }

  close(): void {
    this.fileSystem.close();
    fs.rmSync(this.shared, { recursive: true });
  }
}

function zeroBody(): Uint8Array {
  return words(0, 0, 0, 0);
}

it(`answers each request once through ${SEQUENCES} random sessions of a debugger`, () => {
  const world = new World(20261122);
  let step = 0;
  world.serve(() => {
    if (step === 0) {
      step++;
      return world.put(Opcode.INIT, 0, words(7, 45, 0x20000, 0x73fffffb, 0x5fd, ...zeros(11)));
    }
    if (step === 1) {
      step++;
      return world.put(Opcode.OPENDIR, 1, words(0, 0));
    }
    return -1;
  });
  const before = fs.readdirSync('/proc/self/fd').length;
  for (let sequence = 0; sequence < SEQUENCES; sequence++) {
    let turn = 0;
    world.serve(() => {
      turn++;
      if (turn > TURNS) {
        if (world.gate.held === 0) return -1;
        world.gate.command({ type: 'release', reason: 'disconnected' });
        return 0;
      }
      if (world.random() < 0.4) {
        world.gate.command(world.command());
        return 0;
      }
      return world.request();
    });
    // The session may be over with requests held: they went on by themselves.
    expect(world.gate.held).toBe(0);
    world.gate.command({ type: 'release', reason: 'disconnected' });
    expect(world.gate.armed).toBe(false);
  }

  const silent = new Set<number>([Opcode.FORGET]);
  for (const [unique, opcode] of world.asked) {
    expect(world.answers.get(unique) ?? 0, String(unique)).toBe(silent.has(opcode) ? 0 : 1);
  }
  world.fold();
  expect([...world.model.entries()]).toEqual([...world.tables.entries()]);
  for (const { nodeid, lookups } of world.tables.entries()) {
    if (nodeid !== 1) expect(lookups, String(nodeid)).toBe(world.counts.get(nodeid));
  }
  const alive = [...world.counts].filter(([node, count]) => node !== 1 && count > 0);
  expect(alive.map(([node]) => node).sort()).toEqual(
    [...world.tables.entries()]
      .map(({ nodeid }) => Number(nodeid))
      .filter((n) => n !== 1)
      .sort(),
  );
  expect(world.stops).toBeGreaterThan(SEQUENCES);
  expect(world.depth).toBeGreaterThan(5);
  // What is open is what the entries and the guest's open files hold, and no more.
  const opened = [...world.asked.values()].filter((opcode) => opcode === Opcode.CREATE).length;
  expect(fs.readdirSync('/proc/self/fd').length - before).toBeLessThanOrEqual(
    opened + world.tables.size + 4,
  );
  world.close();
}, 120_000);
