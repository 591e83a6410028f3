/**
 * The same requests while a debugger holds some of them: breakpoints and faults of all kinds, steps,
 * goings on and detachments at random. The turns are the real ones of daemon/transport.
 */

import type { Breakpoint, DebugCommand, Fault } from '../../../daemon/debug/spec';
import type { DataChannel, RequestHandler } from '../../../daemon/fuse/dataChannel';
import { Opcode } from '../../../daemon/fuse/opcodes';
import { IN_HEADER, readU64 } from '../../../daemon/fuse/wire';
import { readBreakpoint, readFault } from '../../../daemon/inspector/debugSpecs';
import type { BreakpointJson } from '../../../daemon/protocol/debug';
import { DECISIONS, FAULT_CALLS } from '../../../daemon/tables/stops';
import { HIT_KINDS } from '../../../daemon/tables/hitKind';
import { serveTurns } from '../../../daemon/transport/turns';
import { REPLY, REQUEST } from '../../../native/index';
import { Finding, must } from '../kind';
import type { Surroundings } from '../kind';
import type { Random } from '../random';
import type { Playground } from './playground';
import type { Served } from './session';
import { withServed } from './session';

const DRAIN_EVERY = 20;
const CHECK_EVERY = 200;
const EIO = 5;

const OPERATIONS = [
  ...[
    'LOOKUP',
    'LOOKUP',
    'LOOKUP',
    'LOOKUP',
    'READDIRPLUS',
    'READDIRPLUS',
    'READDIRPLUS',
    'FORGET',
    'BATCH_FORGET',
    'CREATE',
    'MKDIR',
    'MKNOD',
  ],
  ...['SYMLINK', 'LINK', 'UNLINK', 'RENAME', 'OPEN', 'READ', 'WRITE', 'GETATTR', 'RELEASE'],
];
const FORGETS: ReadonlySet<number> = new Set([Opcode.FORGET, Opcode.BATCH_FORGET]);
const PATHS = ['a', 'd/*', '**/sub/**', '*', 'e/entry-*', '**', 'hard', 'd'];
const ERRNOS = ['ENOMEM', 'EOPNOTSUPP', 'EOVERFLOW', 'ESTALE', 'EIO', 'ENOENT'];
const CONDITIONS = ['nlink > 1', 'count >= 1', 'uid == 1000 || errno == "ENOENT"', 'byIds != null'];
const LOGS = ['{op} {path} {ids} {handle} {byHandle} {byIds} {answer} {errno}', '{path}'];

export function debuggedSession(around: Surroundings, seed: number, inputs: number): void {
  withServed(around, seed, (served, playground, random) => {
    new DebuggedGuest(around, served, playground, random, inputs).play();
  });
}

/** A request that was received and not answered yet. */
interface UnderWay {
  readonly received: number;
  readonly opcode: number;
  readonly unique: number;
}

/** What the daemon receives, answers and puts aside, and what its debugger does in between. */
class DebuggedGuest {
  readonly #served: Served;
  #current: UnderWay | null = null;
  readonly #aside = new Map<number, UnderWay>();
  #names = 0;
  #left: number;
  /** Requests that the debugger was told are held, and those that await its verdict. */
  readonly #held = new Set<number>();
  readonly #judged: { readonly request: number; readonly breakpoints: readonly number[] }[] = [];
  /** Whether a release has not been confirmed. */
  #releasing = false;
  #stops = 0;

  constructor(
    private readonly around: Surroundings,
    served: Served,
    private readonly playground: Playground,
    private readonly random: Random,
    inputs: number,
  ) {
    this.#served = served;
    this.#left = inputs;
    served.onReport = (report) => {
      if (report.type === 'stopped') {
        must(!this.#held.has(report.stop.request), () => 'A held request was held again.');
        this.#held.add(report.stop.request);
        this.#stops++;
      } else if (report.type === 'resumed') {
        must(this.#held.delete(report.request), () => 'A request went on that was not held.');
      } else if (report.type === 'judge') this.#judged.push(report);
      else if (report.type === 'released') this.#releasing = false;
    };
  }

  play(): void {
    const { fileSystem, channel } = this.#served;
    const native = {
      putAside: () => this.#putAside(),
      takeUp: (name: number) => this.#takeUp(name),
    };
    const handler: RequestHandler = {
      memory: fileSystem.memory,
      handle: (length, given) => this.#handle(length, given),
      standsAlone: () => fileSystem.standsAlone(),
      letGo: () => fileSystem.letGo(),
      reset: () => fileSystem.reset(),
    };
    serveTurns(native, handler, channel, {
      receive: () => this.#receive(),
      answer: (length) => this.#answer(length),
      answerAndReceive: (length) => {
        this.#answer(length);
        return this.#receive();
      },
      other: (_received, alone) => this.#other(alone),
    });
    must(this.#left === 0, () => 'The turns ended too early.');
    must(this.#aside.size === 0 && this.#current === null, () => 'A request was not answered.');
    must(this.#held.size === 0, () => `${this.#held.size} requests are said to be held.`);
    must(!this.#releasing, () => 'A release was not confirmed.');
    must(this.#stops > 0, () => 'Nothing was held.');
  }

  // --- the transport ------------------------------------------------------------------------------

  #receive(): number {
    const { random } = this;
    const quiet = this.#aside.size === 0;
    must(this.#current === null, () => 'The next request is received before the answer.');
    if (this.#left === 0 || random.once(quiet ? 4 : 2)) return 0;
    this.#left--;
    this.around.count();
    if (this.#left % DRAIN_EVERY === 0) this.#served.follow();
    if (quiet && random.once(CHECK_EVERY)) this.#served.check();
    if (random.once(60)) this.playground.hostChange(random);
    const { requests, fileSystem } = this.#served;
    const received = random.once(2) ? requests.lookingUp() : requests.next();
    if (received === 0) return 0;
    if (!quiet) this.#tame(received);
    const { u32 } = fileSystem.memory;
    const opcode = u32[(REQUEST + 4) >> 2] ?? 0;
    this.#current = { received, opcode, unique: u32[(REQUEST + 8) >> 2] ?? 0 };
    const { tell } = this.around;
    if (tell !== null) tell(`${'  '.repeat(this.#aside.size)}request of opcode ${opcode}`);
    return received;
  }

  #handle(length: number, given: DataChannel): number {
    const { fileSystem, replies } = this.#served;
    replies.prepare();
    const reply = fileSystem.handle(length, given);
    must(this.#current?.received === length, () => 'Another request came back.');
    replies.check(length, reply);
    return reply;
  }

  #answer(length: number): void {
    const { memory } = this.#served.fileSystem;
    const { unique } = this.#current ?? {};
    must(unique !== undefined, () => 'A request was answered twice.');
    must(length === 0 || memory.u32[(REPLY + 8) >> 2] === unique, () => 'A reply went astray.');
    const { tell } = this.around;
    if (tell !== null) tell(`${'  '.repeat(this.#aside.size)}reply   of ${length} bytes`);
    this.#current = null;
  }

  #putAside(): number {
    const current = this.#current;
    if (current === null) throw new Finding('Nothing is there to be put aside.');
    // A payload may be out of reach, so that its request cannot wait.
    if (current.opcode === Opcode.WRITE && this.random.once(10)) return -EIO;
    this.#names++;
    this.#aside.set(this.#names, current);
    this.#current = null;
    return this.#names;
  }

  #takeUp(name: number): number {
    const request = this.#aside.get(name);
    must(this.#current === null, () => 'A request is taken up before the one above is answered.');
    if (request === undefined) throw new Finding('A request is taken up that was not put aside.');
    this.#aside.delete(name);
    this.#current = request;
    this.#served.replies.channelBytes = -1;
    return 0;
  }

  #other(alone: boolean): 'ended' | 'alone' | null {
    const { gate } = this.#served;
    if (this.#left === 0) {
      if (alone) return 'ended';
      if (gate.held > 0) this.#command({ type: 'release', reason: 'detached' });
      return null;
    }
    // As when a ring is taken back.
    if (!alone && this.random.once(60)) return 'alone';
    for (let i = this.random.below(3); i >= 0; i--) this.#command(this.#verb());
    return null;
  }

  /**
   * While requests are held, a guest cannot tell what it has been given: it may forget only what it
   * knows of, and close only what it has opened, or what it is given could not be counted here.
   */
  #tame(received: number): void {
    const { fileSystem, guest } = this.#served;
    const { memory } = fileSystem;
    const { u32 } = memory;
    const opcode = u32[(REQUEST + 4) >> 2] ?? 0;
    const bodyAt = REQUEST + IN_HEADER;
    const change = (): void => {
      u32[(REQUEST + 4) >> 2] = Opcode.GETATTR;
    };
    if (received < IN_HEADER + 8) return;
    if (opcode === Opcode.BATCH_FORGET) change();
    if (opcode === Opcode.FORGET) {
      if ([...this.#aside.values()].some((waits) => FORGETS.has(waits.opcode))) change();
      const known = guest.lookups.get(readU64(memory, REQUEST + 16)) ?? 0;
      if (readU64(memory, bodyAt) > known) change();
    }
    if (opcode === Opcode.RELEASE || opcode === Opcode.RELEASEDIR) {
      if (!guest.open.has(readU64(memory, bodyAt))) change();
    }
  }

  // --- the debugger -------------------------------------------------------------------------------

  #command(command: DebugCommand): void {
    const { tell } = this.around;
    if (tell !== null) tell(`debugger ${JSON.stringify(command, plain)}`);
    if (command.type === 'release') this.#releasing = true;
    this.#served.gate.command(command);
  }

  #verb(): DebugCommand {
    const { random } = this;
    const judged = this.#judged.shift();
    if (judged !== undefined) {
      const breakpoints = judged.breakpoints.filter(() => random.once(2));
      return { type: 'verdict', request: judged.request, breakpoints };
    }
    const held = [...this.#held];
    // Only the newest can go on at once.
    const newest = held.at(-1);
    const request = newest === undefined || random.once(20) ? random.pick([0, ...held]) : newest;
    const choice = random.below(held.length === 0 ? 9 : 30);
    if (choice < 3) return { type: 'breakpoints', breakpoints: this.#breakpoints() };
    if (choice < 4) return { type: 'faults', faults: this.#faults() };
    if (choice < 7) return { type: 'pause' };
    if (choice < 8) return { type: 'continue', request: random.once(3) ? null : request };
    if (choice < 9) {
      if (!random.once(6)) return { type: 'continue', request };
      return { type: 'release', reason: random.pick(['detached', 'timeout']) };
    }
    const how = random.pick(['over', 'over', 'over', 'over', 'into', 'out'] as const);
    return { type: 'step', request, how };
  }

  #faults(): Fault[] {
    const { random } = this;
    return Array.from({ length: random.below(3) }, (_, i) =>
      readFault({
        id: i + 1,
        call: random.pick(FAULT_CALLS),
        errno: random.pick(ERRNOS),
        ...(random.once(2) ? { path: random.pick(PATHS) } : {}),
        when: random.pick([{ kind: 'next' }, { kind: 'every' }, { kind: 'nth', n: 2 }] as const),
      }),
    );
  }

  #breakpoints(): Breakpoint[] {
    const { random } = this;
    const wanted = Array.from({ length: 2 + random.below(9) }, (_, i) => this.#breakpoint(i + 1));
    return wanted.flatMap((json) => {
      try {
        return [readBreakpoint(json)];
      } catch {
        // What makes no sense together is refused.
        return [];
      }
    });
  }

  #breakpoint(id: number): BreakpointJson {
    const { random } = this;
    const node = String(1 + random.below(30));
    const criteria: readonly Omit<BreakpointJson, 'id'>[] = [
      { decision: random.pick(DECISIONS) },
      { decision: random.pick(DECISIONS) },
      { decision: random.pick(DECISIONS) },
      { path: random.pick(PATHS) },
      { hit: random.pick(HIT_KINDS) },
      { hazard: '*' },
      { errno: random.once(2) ? '*' : random.pick(ERRNOS) },
      { node },
      { entry: node },
      { ids: { ino: node } },
      { fdsAbove: random.below(3) },
      { condition: random.pick(CONDITIONS) },
    ];
    return {
      id,
      operation: random.pick(OPERATIONS),
      ...(random.once(5) ? {} : random.pick(criteria)),
      ...(random.once(3) ? random.pick(criteria) : {}),
      ...(random.once(5) ? { hits: { when: 'every', count: 2 } } : {}),
      ...(random.once(8) ? { log: random.pick(LOGS) } : {}),
    };
  }
}

function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
