/**
 * What a daemon answered to a sequence of requests, in words that mean the same for every daemon:
 * node ids and file handles become labels, times become "now" where they are, and what two copies
 * of one tree cannot have in common is left out.
 */

import * as fs from 'node:fs';
import path from 'node:path';
import { Opcode } from '../../daemon/fuse/opcodes';
import type { Daemon } from './daemons';
import type {
  Attr,
  AttrReply,
  Call,
  Created,
  Dirent,
  DirentPlus,
  Entry,
  InitReply,
  Opened,
  StatfsReply,
} from './fuse';
import { requests } from './fuse';
import type { Frontend, Travel } from './frontend';
import { errnoText, opcodeName } from './frontend';

/** One request's answer: plain fields, so that two can be compared one by one. */
export type Fields = Readonly<Record<string, string | number | boolean>>;

export interface Step {
  /** The request in words, the same for every daemon. */
  readonly what: string;
  readonly fields: Fields;
}

/** A case cannot go on, because a request that it builds on failed or the daemon is gone. */
export class CaseOver extends Error {}

const ROOT = 1n;
const NANOSECONDS = 1_000_000_000n;
/** Clocks of file systems tick in jiffies, and a case may take a while. */
const SLACK = 3n * NANOSECONDS;

interface Known {
  readonly label: string;
  count: bigint;
  ino: bigint;
}

/** A guest that writes down what it is told. */
export class Session {
  readonly fs: Frontend;
  /** The host's folder that this case may change. */
  readonly folder: string;
  readonly steps: Step[] = [];
  readonly #daemon: Daemon;
  readonly #nodes = new Map<bigint, Known>();
  readonly #forgotten = new Map<bigint, string>();
  readonly #handles = new Map<bigint, string>();
  readonly #started: bigint;
  readonly #limit: number;
  #nodeCount = 0;
  #handleCount = 0;
  #gone = false;

  /**
   * @param started milliseconds since the epoch, from which on times are "now"
   * @param limit milliseconds that an answer may take
   */
  constructor(daemon: Daemon, guest: Frontend, folder: string, started: number, limit: number) {
    this.#limit = limit;
    this.#started = BigInt(started) * 1_000_000n;
    this.fs = guest;
    this.folder = folder;
    this.#daemon = daemon;
    this.#nodes.set(ROOT, { label: 'root', count: 2n, ino: 0n });
  }

  /** Whether the daemon has ended or does not answer any more. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Labels of the nodes that the guest holds, in the order in which it met them. */
  get nodes(): readonly bigint[] {
    return [...this.#nodes.keys()];
  }

  get handles(): readonly bigint[] {
    return [...this.#handles.keys()];
  }

  /** How many references the guest holds. */
  countOf(nodeid: bigint): bigint {
    return this.#nodes.get(nodeid)?.count ?? 0n;
  }

  /** Looks the case's folder up. @returns its node id */
  async enter(): Promise<bigint> {
    const { nodeid, attr } = await this.fs.lookup(ROOT, path.basename(this.folder));
    this.#nodes.set(nodeid, { label: 'dir', count: 1n, ino: attr.ino });
    return nodeid;
  }

  /** Sends a request and writes its answer down. @returns the answer, or null for an errno */
  async try<T>(call: Call<T>, travel: Travel = {}): Promise<T | null> {
    const what = this.#words(call, travel);
    try {
      const outcome = await this.fs.attempt(call, { limit: this.#limit, ...travel });
      if (outcome.errno === 0) {
        const value = outcome.value as T;
        this.steps.push({ what, fields: { errno: 'ok', ...this.#fields(call, value) } });
        return value;
      }
      this.steps.push({ what, fields: { errno: errnoText(outcome.errno) } });
      return null;
    } catch (error) {
      this.#gone = !this.fs.vmm.socket.isOpen || /not answered/.test(String(error));
      const words = error instanceof Error ? error.message : String(error);
      this.steps.push({ what, fields: { errno: this.#gone ? 'no answer' : `broken: ${words}` } });
      throw new CaseOver(words, { cause: error });
    }
  }

  /** Sends a request that the rest of the case needs. */
  async must<T>(call: Call<T>, travel: Travel = {}): Promise<T> {
    const value = await this.try(call, travel);
    if (value === null) throw new CaseOver(`${opcodeName(call.opcode)} failed`);
    return value;
  }

  /** Writes down when the daemon did not survive what it answered. */
  async ping(): Promise<void> {
    if (this.#gone) return;
    try {
      const { errno } = await this.fs.attempt(requests.getattr(ROOT), { limit: this.#limit });
      if (errno === 0) return;
      this.steps.push({ what: 'the daemon afterwards', fields: { errno: errnoText(errno) } });
    } catch {
      this.steps.push({ what: 'the daemon afterwards', fields: { errno: 'no answer' } });
    }
    this.#gone = true;
  }

  /** Writes down something else that was seen. */
  note(what: string, fields: Fields): void {
    this.steps.push({ what, fields });
  }

  /** A file of the case's folder on the host. */
  host(...names: readonly string[]): string {
    return path.join(this.folder, ...names);
  }

  /** Writes down what the host has after the case. */
  look(): void {
    this.steps.push({ what: 'the tree on the host', fields: hostTree(this.folder) });
  }

  /** The guest boots again: what it held is gone. @returns the node id of the case's folder */
  async reboot(): Promise<bigint> {
    for (const [nodeid, { label }] of this.#nodes) this.#forgotten.set(nodeid, label);
    this.#nodes.clear();
    this.#handles.clear();
    this.#nodes.set(ROOT, { label: 'root', count: 2n, ino: 0n });
    await this.fs.init();
    return this.enter();
  }

  labelOf(nodeid: bigint): string {
    const known = this.#nodes.get(nodeid)?.label;
    if (known !== undefined) return known;
    const before = this.#forgotten.get(nodeid);
    return before === undefined ? `#${nodeid}` : `${before}, forgotten`;
  }

  #words<T>(call: Call<T>, travel: Travel): string {
    const room = travel.room === undefined ? '' : ` room=${travel.room ?? 'none'}`;
    const who = travel.caller === undefined ? '' : ` as ${travel.caller.uid}:${travel.caller.gid}`;
    return `${opcodeName(call.opcode)} ${this.labelOf(call.nodeid)} ${bodyWords(call)}${who}${room}`;
  }

  #fields<T>(call: Call<T>, value: T): Record<string, string | number | boolean> {
    switch (call.opcode) {
      case Opcode.LOOKUP:
      case Opcode.MKNOD:
      case Opcode.MKDIR:
      case Opcode.SYMLINK:
      case Opcode.LINK:
        return this.#entry(value as Entry, '');
      case Opcode.CREATE: {
        const created = value as Created;
        return { ...this.#entry(created.entry, ''), ...this.#opened(created.open) };
      }
      case Opcode.OPEN:
      case Opcode.OPENDIR:
        return this.#opened(value as Opened);
      case Opcode.GETATTR:
      case Opcode.SETATTR: {
        const reply = value as AttrReply;
        return {
          attrValid: Number(reply.attrValid),
          attrValidNsec: reply.attrValidNsec,
          ...this.#attr(reply.attr, this.#nodes.get(call.nodeid), ''),
        };
      }
      case Opcode.READDIR:
        return this.#dirents(value as Dirent[]);
      case Opcode.READDIRPLUS:
        return this.#direntsPlus(value as DirentPlus[]);
      case Opcode.INIT: {
        const reply = value as InitReply;
        return { ...plainFields(value), flags: `0x${reply.flags.toString(16)}` };
      }
      case Opcode.STATFS:
        return statfsFields(value as StatfsReply);
      case Opcode.FORGET:
        this.#forget(call.nodeid, new DataView(call.body.buffer).getBigUint64(0, true));
        return {};
      case Opcode.BATCH_FORGET: {
        const view = new DataView(call.body.buffer);
        for (let at = 8; at < call.body.length; at += 16) {
          this.#forget(view.getBigUint64(at, true), view.getBigUint64(at + 8, true));
        }
        return {};
      }
      case Opcode.RELEASE:
      case Opcode.RELEASEDIR:
        this.#handles.delete(new DataView(call.body.buffer).getBigUint64(0, true));
        return {};
      default:
        return plainFields(value);
    }
  }

  #forget(nodeid: bigint, count: bigint): void {
    const known = this.#nodes.get(nodeid);
    if (known === undefined) return;
    known.count -= count;
    if (known.count > 0n) return;
    this.#nodes.delete(nodeid);
    this.#forgotten.set(nodeid, known.label);
  }

  #entry(entry: Entry, before: string): Record<string, string | number | boolean> {
    let known = this.#nodes.get(entry.nodeid);
    const hit = known !== undefined;
    if (known === undefined) {
      known = { label: `n${++this.#nodeCount}`, count: 0n, ino: 0n };
      this.#nodes.set(entry.nodeid, known);
    }
    known.count += 1n;
    return {
      [`${before}node`]: known.label,
      [`${before}known`]: hit,
      [`${before}generation`]: Number(entry.generation),
      [`${before}entryValid`]: Number(entry.entryValid),
      [`${before}entryValidNsec`]: entry.entryValidNsec,
      [`${before}attrValid`]: Number(entry.attrValid),
      [`${before}attrValidNsec`]: entry.attrValidNsec,
      ...this.#attr(entry.attr, known, before),
    };
  }

  #opened(open: Opened): Record<string, string | number> {
    const label = `h${++this.#handleCount}`;
    this.#handles.set(open.fh, label);
    return { fh: label, openFlags: open.openFlags };
  }

  #attr(
    attr: Attr,
    known: Known | undefined,
    before: string,
  ): Record<string, string | number | boolean> {
    let ino = 'not this node';
    if (known !== undefined) {
      if (known.ino === 0n) known.ino = attr.ino;
      if (known.ino === attr.ino) ino = known.label;
    }
    return {
      [`${before}ino`]: ino,
      [`${before}size`]: isDirectory(attr.mode) ? 'directory' : Number(attr.size),
      [`${before}blocks`]: Number(attr.blocks),
      [`${before}atime`]: this.#time(attr.atime, attr.atimensec),
      [`${before}mtime`]: this.#time(attr.mtime, attr.mtimensec),
      [`${before}ctime`]: this.#time(attr.ctime, attr.ctimensec),
      [`${before}mode`]: `0${attr.mode.toString(8)}`,
      [`${before}nlink`]: attr.nlink,
      [`${before}uid`]: attr.uid,
      [`${before}gid`]: attr.gid,
      [`${before}rdev`]: attr.rdev,
      [`${before}blksize`]: attr.blksize,
      [`${before}attrFlags`]: attr.flags,
    };
  }

  #time(seconds: bigint, nanoseconds: number): string {
    const at = seconds * NANOSECONDS + BigInt(nanoseconds);
    const now = BigInt(Date.now()) * 1_000_000n;
    if (at > this.#started - SLACK && at < now + SLACK) return 'now';
    return `${seconds}.${nanoseconds}`;
  }

  #dirents(entries: readonly Dirent[]): Record<string, string | number> {
    const fields: Record<string, string | number> = { count: entries.length };
    entries.forEach((entry, i) => {
      fields[`${i}`] = `${printable(entry.name)} type ${entry.type}`;
      fields[`${i}.off`] = String(entry.off);
    });
    return fields;
  }

  #direntsPlus(entries: readonly DirentPlus[]): Record<string, string | number | boolean> {
    const fields: Record<string, string | number | boolean> = { ...this.#dirents(entries) };
    entries.forEach(({ entry, ino }, i) => {
      if (entry.nodeid === 0n) {
        fields[`${i}.dots`] = `ino ${entry.attr.ino === ino}, mode 0${entry.attr.mode.toString(8)}`;
        return;
      }
      fields[`${i}.sameIno`] = entry.attr.ino === ino;
      Object.assign(fields, this.#entry(entry, `${i}.`));
    });
    return fields;
  }

  /** The words of this session's daemon, for a failure's message. */
  complaint(): string {
    return this.#daemon.log().split('\n').slice(-8).join('\n');
  }
}

function isDirectory(mode: number): boolean {
  return (mode & 0o170000) === 0o040000;
}

function statfsFields(reply: StatfsReply): Record<string, number> {
  // What is free changes with every daemon's copy.
  return {
    blocks: Number(reply.blocks),
    files: Number(reply.files),
    bsize: reply.bsize,
    namelen: reply.namelen,
    frsize: reply.frsize,
    free: reply.bfree >= reply.bavail && reply.bfree <= reply.blocks ? 1 : 0,
  };
}

const LONGEST_SHOWN = 64;

/** Text where it is text, otherwise hexadecimal; long values by their length and a sum. */
function printable(bytes: Uint8Array): string {
  if (bytes.length > LONGEST_SHOWN) {
    let sum = 0;
    for (const byte of bytes) sum = (sum * 31 + byte) >>> 0;
    return `${bytes.length} bytes, sum ${sum}`;
  }
  const text = Buffer.from(bytes).toString('latin1');
  return /^[\x20-\x7e]*$/.test(text) ? `"${text}"` : `0x${Buffer.from(bytes).toString('hex')}`;
}

function plainFields(value: unknown): Record<string, string | number | boolean> {
  if (value === undefined || value === null) return {};
  if (value instanceof Uint8Array) return { bytes: printable(value) };
  if (typeof value === 'bigint') return { value: String(value) };
  if (typeof value === 'number' || typeof value === 'string') return { value };
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, String(field)]));
}

/** A request's body without what differs between daemons: ids and handles. */
function bodyWords(call: Call<unknown>): string {
  const { opcode, body } = call;
  const skip: Readonly<Record<number, number>> = {
    [Opcode.OPEN]: 0,
    [Opcode.READ]: 8,
    [Opcode.WRITE]: 8,
    [Opcode.READDIR]: 8,
    [Opcode.READDIRPLUS]: 8,
    [Opcode.RELEASE]: 8,
    [Opcode.RELEASEDIR]: 8,
    [Opcode.FSYNC]: 8,
    [Opcode.FSYNCDIR]: 8,
    [Opcode.FLUSH]: 8,
    [Opcode.FALLOCATE]: 8,
    [Opcode.LSEEK]: 8,
    [Opcode.RENAME]: 8,
    [Opcode.RENAME2]: 8,
    [Opcode.LINK]: 8,
    [Opcode.GETATTR]: 16,
    [Opcode.BATCH_FORGET]: body.length,
    [Opcode.COPY_FILE_RANGE]: 40,
    [Opcode.SETATTR]: 0,
  };
  if (opcode === Opcode.SETATTR) {
    // fh stands after valid.
    return shortened(Buffer.concat([body.subarray(0, 8), body.subarray(16)]));
  }
  return shortened(body.subarray(skip[opcode] ?? 0));
}

/** Text as it is, other bytes as hexadecimal; runs of zeros by their length, long data by a sum. */
function shortened(body: Uint8Array): string {
  if (body.length > 400) return printable(body);
  const text = Buffer.from(body).toString('latin1');
  return text
    .replace(/\0{2,}$/, '')
    .replace(/\0{3,}/g, (zeros) => `<0*${zeros.length}>`)
    .replace(/[^\x20-\x7e]/g, (byte) => `<${byte.charCodeAt(0).toString(16)}>`)
    .replaceAll('><', ' ');
}

/** Names, types, modes, owners, sizes, contents and link counts below a folder. */
function hostTree(folder: string): Fields {
  const fields: Record<string, string> = {};
  const visit = (bytes: Buffer, shown: string) => {
    for (const name of fs.readdirSync(bytes, { encoding: 'buffer' })) {
      const file = Buffer.concat([bytes, Buffer.from('/'), name]);
      const stat = fs.lstatSync(file);
      const where = `${shown}${printable(name)}`;
      const links = stat.isDirectory() ? '' : `, ${stat.nlink} links`;
      let words = `0${stat.mode.toString(8)} ${stat.uid}:${stat.gid}${links}`;
      if (stat.isFile()) words += `, ${printable(fs.readFileSync(file))}`;
      if (stat.isSymbolicLink()) {
        words += ` -> ${printable(fs.readlinkSync(file, { encoding: 'buffer' }))}`;
      }
      fields[where] = words;
      if (stat.isDirectory()) visit(file, `${where}/`);
    }
  };
  visit(Buffer.from(folder), '');
  return fields;
}
