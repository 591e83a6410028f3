/**
 * What a probe costs: lookups of names whose entries are known, on ext4, with and without, in the
 * same process and by turns, so that a busy machine slows both. `npm run bench -- probes`.
 */

import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { loadAddon, REQUEST } from '../../native/index';
import type { DataChannel } from '../../daemon/fuse/dataChannel';
import { Opcode } from '../../daemon/fuse/opcodes';
import { createFileSystem } from '../../daemon/passthrough/fileSystem';
import type { HandleMode } from '../../daemon/passthrough/options';
import type { ProbeMode } from '../../daemon/tables/hitKind';
import { InodeTables } from '../../daemon/tables/inodeTables';
import { LOOKUP_RULES } from '../../daemon/tables/lookupRule';
import { benchRoot, median, quantile, table } from './measure';
import { makeShare, unmount } from './mountedDaemon';

const NAMES = 100;
/** Lookups in one turn, and turns of each. */
const LOOKUPS = 500;
const TURNS = 3_000;

const CHANNEL: DataChannel = {
  sendFile: () => 0,
  writeFile: () => 0,
  serveOthers: () => undefined,
};
const SILENT = () => undefined;

interface Case {
  readonly name: string;
  readonly handles: HandleMode;
  readonly probe: ProbeMode;
}

const CASES: readonly Case[] = [
  { name: '`never`, hit by ids, `--probe=hits`', handles: 'never', probe: 'hits' },
  { name: '`prefer`, hit by handle, `--probe=always`', handles: 'prefer', probe: 'always' },
];

function measure(share: string, { name, handles, probe }: Case): string[] {
  const native = loadAddon(benchRoot());
  const tables = new InodeTables(LOOKUP_RULES['handle-then-fd']);
  const options = {
    sharedDir: share,
    inodeFileHandles: handles,
    lookupRule: LOOKUP_RULES['handle-then-fd'],
    probe: 'never' as ProbeMode,
    cache: 'never' as const,
    xattr: false,
    readonly: false,
    writeback: false,
    readdirplus: false,
    allowDirectIo: false,
    preserveNoatime: false,
    announceSubmounts: true,
  };
  const recorder = {
    init: SILENT,
    destroy: SILENT,
    lookup: SILENT,
    forget: SILENT,
    openByHandleFailed: SILENT,
    overForget: SILENT,
    volume: SILENT,
  };
  const fileSystem = createFileSystem(options, native, tables, recorder, SILENT);
  const { u8, u32 } = fileSystem.memory;

  function ask(opcode: number, nodeid: number, body: Uint8Array): void {
    u32.fill(0, REQUEST >> 2, (REQUEST + 40) >> 2);
    u32.set([40 + body.length, opcode, 2, 0, nodeid], REQUEST >> 2);
    u8.set(body, REQUEST + 40);
    fileSystem.handle(40 + body.length, CHANNEL);
  }

  const init = new Uint8Array(
    new Uint32Array([7, 45, 0x20000, 0x73fffffb, ...new Array<number>(12).fill(0)]).buffer,
  );
  ask(Opcode.INIT, 0, init);
  ask(Opcode.LOOKUP, 1, new TextEncoder().encode('d000\0'));
  const names = Array.from({ length: NAMES }, (_, i) =>
    new TextEncoder().encode(`f${String(i).padStart(5, '0')}\0`),
  );
  const turn = (mode: ProbeMode): number => {
    options.probe = mode;
    const start = process.hrtime.bigint();
    for (let i = 0; i < LOOKUPS; i++) ask(Opcode.LOOKUP, 2, names[i % NAMES] ?? new Uint8Array(0));
    return Number(process.hrtime.bigint() - start) / LOOKUPS;
  };
  // Compiled, and every name known.
  for (let i = 0; i < 10; i++) turn(i % 2 === 0 ? probe : 'never');
  const without: number[] = [];
  const ratios: number[] = [];
  const costs: number[] = [];
  for (let i = 0; i < TURNS; i++) {
    const first = i % 2 === 0 ? probe : 'never';
    const a = turn(first);
    const b = turn(first === probe ? 'never' : probe);
    const [probed, plain] = first === probe ? [a, b] : [b, a];
    without.push(plain);
    ratios.push(probed / plain);
    costs.push(probed - plain);
  }
  fileSystem.close();
  return [
    name,
    `${(median(without) / 1000).toFixed(2)} µs`,
    `${median(costs).toFixed(0)} ns`,
    median(ratios).toFixed(3),
    `${quantile(ratios, 0.25).toFixed(3)} to ${quantile(ratios, 0.75).toFixed(3)}`,
  ];
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-probes-'));
try {
  const share = makeShare(folder, 0);
  const rows = CASES.map((one) => measure(share, one));
  table(['lookup', 'without', 'a probe costs', 'ratio', 'middle half'], rows);
} finally {
  unmount(path.join(folder, 'share'));
  fs.rmSync(folder, { recursive: true });
}
