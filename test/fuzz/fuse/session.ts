/** Mutated FUSE requests against the real file system over a real directory. */

import { deepStrictEqual } from 'node:assert';
import * as fs from 'node:fs';
import { DebugGate } from '../../../daemon/debug/gate';
import type { DebugReport } from '../../../daemon/debug/spec';
import type { DataChannel } from '../../../daemon/fuse/dataChannel';
import { NAMING } from '../../../daemon/inspector/debugNaming';
import { parseIdTranslation } from '../../../daemon/options/idTranslation';
import { parseXattrmap } from '../../../daemon/options/xattrmap';
import { createFileSystem } from '../../../daemon/passthrough/fileSystem';
import type { FileSystem } from '../../../daemon/passthrough/fileSystem';
import type { OwnerTranslation } from '../../../daemon/passthrough/idTranslation';
import type { Negotiation, PassthroughOptions } from '../../../daemon/passthrough/options';
import { applyEvent } from '../../../daemon/tables/events';
import { InodeTables } from '../../../daemon/tables/inodeTables';
import { LOOKUP_RULES } from '../../../daemon/tables/lookupRule';
import type { VolumeFacts } from '../../../daemon/tables/recorder';
import { RingReader, RingWriter, makeRing } from '../../../daemon/trace/eventRing';
import { RingRecorder, readRecord } from '../../../daemon/trace/record';
import { REPLY, REPLY_SIZE, REQUEST, REQUEST_SIZE } from '../../../native/index';
import { Finding, allOf, must, openDescriptors } from '../kind';
import type { Surroundings } from '../kind';
import { Random } from '../random';
import { Guest } from './guest';
import { makePlayground } from './playground';
import type { Playground } from './playground';
import { Replies, checkCounts } from './replies';
import { Requests } from './requests';

/** How often the slower questions are asked. */
const CHECK_EVERY = 500;
const DRAIN_EVERY = 50;
/** What stands behind a request is poisoned as far as this. */
const BEHIND = 512;
const MOST_SHOWN = 160;
const NEGOTIATIONS: readonly Negotiation[] = ['never', 'never', 'auto', 'always'];
const MAPS = [
  ':map::user.virtiofs.:',
  ':map:trusted.:user.virtiofs.:',
  ':prefix:all:security.:trusted.s.::ok:all:::',
  ':bad:client:user.a::/prefix/client/user./trusted./:ok:all:::',
  ':unsupported:client:user.:::ok:all:::',
];
const TRANSLATIONS: readonly (readonly string[])[] = [
  [],
  ['map:0:1000:65536'],
  ['squash-guest:0:1000:100000'],
  ['squash-host:0:7:100000', 'forbid-guest:1000:1'],
  ['guest:1000:0:1', 'host:0:1000:1'],
];
/** Descriptors on mounts, besides those that the daemon counts. */
const MOUNTS = 2;

export function fuseSession(around: Surroundings, seed: number, inputs: number): void {
  withServed(around, seed, (served, playground, random) => {
    for (let i = 1; i <= inputs; i++) {
      around.count();
      if (random.once(60)) playground.hostChange(random);
      served.next();
      if (i % DRAIN_EVERY === 0) served.follow();
      if (i % CHECK_EVERY === 0) served.check();
    }
  });
}

/** Plays with a file system, and looks at what must be true afterwards. */
export function withServed(
  around: Surroundings,
  seed: number,
  play: (served: Served, playground: Playground, random: Random) => void,
): void {
  const random = new Random(seed);
  const descriptors = openDescriptors();
  const playground = makePlayground(around.native, around.folder);
  const served = new Served(around, playground, random);
  allOf(
    () => {
      play(served, playground, random);
      served.follow();
      served.check();
      served.checkEnd();
    },
    () => {
      served.end();
    },
    () => {
      playground.checkOutside();
    },
    () => {
      playground.remove();
    },
  );
  must(openDescriptors() === descriptors, () => {
    return `${descriptors} descriptors were open before, now ${describeDescriptors()}`;
  });
}

function describeDescriptors(): string {
  const links = fs.readdirSync('/proc/self/fd').map((fd) => {
    try {
      const info = fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
      const flags = /flags:\s*(\d+)/.exec(info)?.[1] ?? '';
      return `${fd} (0${flags}) ${fs.readlinkSync(`/proc/self/fd/${fd}`)}`;
    } catch {
      return `${fd} (gone)`;
    }
  });
  return links.join(', ');
}

/** Who this thread is, for system calls. */
function identity(): string {
  const lines = fs.readFileSync('/proc/thread-self/status', 'utf8').split('\n');
  return lines.filter((line) => /^(Uid|Gid|Groups|Umask|Cap)/.test(line)).join('\n');
}

function hex(bytes: Uint8Array, at: number, length: number): string {
  const shown = Buffer.from(bytes.subarray(at, at + Math.min(length, MOST_SHOWN)));
  return `${length} bytes ${shown.toString('hex').replace(/(.{8})/g, '$1 ')}`;
}

/** The options that change what requests do. */
function optionsFrom(random: Random, sharedDir: string): PassthroughOptions {
  const rules = Object.values(LOOKUP_RULES);
  return {
    sharedDir,
    inodeFileHandles: random.pick(['never', 'prefer', 'mandatory']),
    lookupRule: random.pick(rules),
    cache: random.pick(['never', 'metadata', 'auto', 'always']),
    xattr: !random.once(4),
    readonly: random.once(8),
    writeback: random.once(3),
    readdirplus: !random.once(4),
    allowDirectIo: random.once(3),
    preserveNoatime: random.once(3),
    announceSubmounts: !random.once(3),
    rlimitNofile: 0,
    ...(random.once(3) ? { xattrmap: parseXattrmap(random.pick(MAPS)) } : {}),
    posixAcl: random.pick(NEGOTIATIONS),
    securityLabel: random.pick(NEGOTIATIONS),
    killprivV2: random.once(3),
    allowMmap: random.once(3),
    ...(random.once(3) ? { translation: translationFrom(random) } : {}),
  };
}

function translationFrom(random: Random): OwnerTranslation {
  return {
    uid: parseIdTranslation(random.pick(TRANSLATIONS)),
    gid: parseIdTranslation(random.pick(TRANSLATIONS)),
  };
}

/** A file system and its guest. */
export class Served {
  readonly #around: Surroundings;
  readonly gate: DebugGate;
  /** What the gate has to say; nobody debugs, unless a session does. */
  onReport: (report: DebugReport) => void = () => undefined;
  readonly fileSystem: FileSystem;
  readonly #tables: InodeTables;
  /** Follows the events, as the inspector does. */
  readonly #folded: InodeTables;
  readonly #reader: RingReader;
  readonly #volumes = new Map<number, VolumeFacts>();
  #seq = 1;
  readonly guest = new Guest();
  readonly requests: Requests;
  readonly replies: Replies;
  readonly channel: DataChannel;
  readonly #isInside: Playground['isInside'];
  readonly #descriptors: number;
  readonly #identity: string;

  constructor(around: Surroundings, playground: Playground, random: Random) {
    const { native } = around;
    const options = optionsFrom(random, playground.shared);
    // Now and then so few descriptors that the guest reaches the limit.
    const { hard } = native.openFilesLimit();
    native.setOpenFilesLimit(random.once(4) ? 700 : hard, hard);
    const ring = makeRing(1 << 16);
    this.#around = around;
    this.#isInside = (ids) => playground.isInside(ids);
    this.#tables = new InodeTables(options.lookupRule);
    this.#folded = new InodeTables(options.lookupRule);
    this.#reader = new RingReader(ring);
    const writer = new RingWriter(ring, () => undefined);
    const recorder = new RingRecorder(writer, this.#tables);
    this.gate = new DebugGate(this.#tables, NAMING, recorder, (report) => this.onReport(report));
    this.fileSystem = createFileSystem(
      options,
      native,
      this.#tables,
      recorder,
      (_level, text) => {
        must(!text.includes('failed inside'), () => text);
      },
      undefined,
      this.gate,
    );
    const { memory } = this.fileSystem;
    this.requests = new Requests(memory, random, this.guest);
    this.replies = new Replies(memory, this.guest, playground.outside);
    this.channel = {
      sendFile: (fd, offsetAt, size) => {
        const bytes = native.readFile(fd, REPLY + 16, size, offsetAt);
        this.replies.channelBytes = bytes;
        return Math.min(bytes, 0);
      },
      writeFile: (fd, dataAt, size, offsetAt, append) =>
        native.writeFile(fd, dataAt, size, offsetAt, append ? 1 : 0),
      serveOthers: () => undefined,
    };
    // Between the two, and behind the replies, nobody has anything to do.
    const { u8 } = memory;
    around.fuzzing.poison(u8, REQUEST + REQUEST_SIZE, REPLY - REQUEST - REQUEST_SIZE);
    around.fuzzing.poison(u8, REPLY + REPLY_SIZE, u8.length - REPLY - REPLY_SIZE);
    this.#descriptors = openDescriptors();
    this.#identity = identity();
  }

  next(): void {
    this.#ask(this.requests.next());
  }

  #ask(received: number): void {
    const { u8, u32 } = this.fileSystem.memory;
    const declared = u32[REQUEST >> 2] ?? 0;
    const end = REQUEST + Math.max(Math.min(declared, received), 40);
    const { fuzzing } = this.#around;
    const { tell } = this.#around;
    if (tell !== null) tell(`request ${hex(u8, REQUEST, received)}`);
    this.replies.prepare();
    fuzzing.poison(u8, end, BEHIND);
    const length = this.fileSystem.handle(received, this.channel);
    fuzzing.unpoison(u8, end, BEHIND);
    if (tell !== null) tell(`reply   ${hex(u8, REPLY, length)}`);
    this.replies.check(received, length);
  }

  /** Folds what was recorded. */
  follow(): void {
    must(!this.#reader.lost, () => 'The ring of events is too small for this fuzzer.');
    const sink = {
      nextSeq: () => this.#seq++,
      event: (event: Parameters<typeof applyEvent>[1]) => {
        applyEvent(this.#folded, event);
      },
      volume: () => undefined,
    };
    this.#reader.drain(Infinity, (words, at) => {
      readRecord(words, at, this.#volumes, sink);
    });
  }

  /** What must be true at any time. */
  check(): void {
    const tables = this.#tables;
    checkCounts(this.guest, tables.entries());
    const open = this.fileSystem.fdsUsed() - tables.entriesOfKind('file');
    must(open === this.guest.open.size, () => {
      return `${open} files are open; the guest was given ${this.guest.open.size}.`;
    });
    const more = openDescriptors() - this.#descriptors - this.fileSystem.fdsUsed();
    must(more >= 0 && more <= MOUNTS, () => {
      return `${more} descriptors that nobody counts are among ${describeDescriptors()}`;
    });
    for (const { nodeid, ids } of tables.entries()) {
      must(this.#isInside(ids), () => `Node ${nodeid} is outside the share.`);
    }
    must(identity() === this.#identity, () => `The thread is now: ${identity()}`);
  }

  /** Compares the tables with those that follow from the events. */
  checkEnd(): void {
    try {
      deepStrictEqual([...this.#folded.entries()], [...this.#tables.entries()]);
      deepStrictEqual([...this.#folded.idsOwners()], [...this.#tables.idsOwners()]);
      deepStrictEqual([...this.#folded.handleOwners()], [...this.#tables.handleOwners()]);
    } catch (error) {
      throw new Finding(`The events lead to other tables: ${String(error)}`);
    }
    // It still serves.
    this.#ask(this.requests.plainInit());
    must(this.guest.initialized, () => 'INIT fails after all this.');
  }

  end(): void {
    const { u8 } = this.fileSystem.memory;
    this.#around.fuzzing.unpoison(u8, 0, u8.length);
    this.fileSystem.close();
  }
}
