/** What the inspector keeps: severities, names, runtime files; and that it does not grow. */

import fc from 'fast-check';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EventHistory } from '../../daemon/inspector/eventHistory';
import { PathTable } from '../../daemon/inspector/pathTable';
import {
  listRuntimeFiles,
  processStartTime,
  readRuntimeFile,
  runtimeDirectory,
  writeRuntimeFile,
} from '../../daemon/inspector/runtimeFiles';
import { SeverityPyramid } from '../../daemon/inspector/severityPyramid';
import { nameText } from '../../daemon/protocol/text';
import type { RuntimeFile } from '../../daemon/protocol/runtimeFile';
import type { Nodeid } from '../../daemon/tables/identity';
import { ESTALE, Source } from './inspectorSource';

const worst = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b), 0);

describe('SeverityPyramid', () => {
  const writes = fc.array(fc.record({ row: fc.nat(5_000), state: fc.nat(8) }), { maxLength: 200 });

  it('gives the worst of any range in any number of cells', () => {
    fc.assert(
      fc.property(
        writes,
        fc.nat(5_500),
        fc.integer({ min: 1, max: 5_500 }),
        fc.integer({ min: 1, max: 700 }),
        (all, from, length, count) => {
          const pyramid = new SeverityPyramid();
          const rows = new Array<number>(11_000).fill(0);
          for (const { row, state } of all) {
            pyramid.set(row, state);
            rows[row] = state;
          }
          const to = from + length;
          expect(pyramid.max(from, to)).toBe(worst(rows.slice(from, to)));
          const cells = pyramid.cells(from, to, count);
          expect(cells).toHaveLength(count);
          // No row of the range is in no cell, and each cell is the worst of what it covers.
          expect(worst([...cells])).toBe(worst(rows.slice(from, to)));
          const width = length / count;
          for (const [i, cell] of cells.entries()) {
            const first = Math.floor(from + i * width);
            const last = Math.max(first + 1, Math.floor(from + (i + 1) * width));
            expect(cell).toBe(worst(rows.slice(first, last)));
          }
        },
      ),
      {
        // Ranges that end where a level ends.
        examples: [64, 256, 1024].map((length) => [[{ row: 0, state: 1 }], 0, length, 1]),
        numRuns: 300,
      },
    );
  });

  it('shows one bad row among a million, and loses it when it is gone', () => {
    const pyramid = new SeverityPyramid();
    for (let row = 0; row < 1_000_000; row++) pyramid.set(row, 1);
    for (const bad of [0, 1, 499_999, 777_777, 999_999]) {
      pyramid.set(bad, 8);
      for (const count of [1, 7, 1_000, 65_000]) {
        const cells = pyramid.cells(0, 1_000_000, count);
        expect(cells.filter((cell) => cell === 8)).toHaveLength(1);
        expect(cells[Math.floor((bad * count) / 1_000_000)]).toBe(8);
      }
      pyramid.set(bad, 1);
      expect(pyramid.max(0, 1_000_000)).toBe(1);
    }
    pyramid.clear();
    expect(pyramid.max(0, 1_000_000)).toBe(0);
  });
});

describe('PathTable', () => {
  const name = fc.uint8Array({ minLength: 1, maxLength: 255 });

  it('keeps the newest name of each row, whatever its bytes', () => {
    const step = fc.oneof(
      fc.record({ row: fc.nat(100), parent: fc.integer({ min: 1, max: 9 }), name }),
      fc.record({ drop: fc.nat(100) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const table = new PathTable();
        const model = new Map<number, { parent: number; name: Uint8Array }>();
        for (const now of steps) {
          if ('drop' in now) {
            table.drop(now.drop);
            model.delete(now.drop);
          } else {
            table.note(now.row, now.parent as Nodeid, now.name);
            model.set(now.row, now);
          }
        }
        for (let row = 0; row <= 101; row++) {
          const known = model.get(row);
          expect(table.parentOf(row)).toBe(known?.parent ?? 0);
          expect(table.nameOf(row)).toEqual(known?.name ?? null);
          if (known === undefined) continue;
          expect(table.is(row, known.parent as Nodeid, known.name)).toBe(true);
          expect(table.is(row, (known.parent + 1) as Nodeid, known.name)).toBe(false);
          const shorter = known.name.subarray(1);
          expect(table.is(row, known.parent as Nodeid, shorter)).toBe(false);
        }
      }),
    );
  });

  it('uses freed places again', () => {
    const table = new PathTable();
    const long = new Uint8Array(255).fill(97);
    for (let row = 0; row < 1_000; row++) table.note(row, 1 as Nodeid, long);
    const size = table.byteLength;
    for (let round = 0; round < 20; round++) {
      for (let row = 0; row < 1_000; row++) {
        long[0] = round;
        table.note(row, 1 as Nodeid, long);
      }
    }
    expect(table.byteLength).toBe(size);
  });

  it('ends at a ring of stale names', () => {
    const source = new Source();
    const a = source.lookup('a', { ino: 20, generation: 1 });
    const b = source.lookup('b', { ino: 21, generation: 1 }, { parent: a });
    source.lookup('a', { ino: 20, generation: 1 }, { parent: b });
    expect(source.model.path(b)?.endsWith('a/b')).toBe(true);
  });

  it('names as text: no two differ in bytes and agree in text', () => {
    const text = (bytes: Uint8Array) => nameText(bytes);
    fc.assert(
      fc.property(name, name, (one, other) => {
        expect(text(one) === text(other)).toBe(Buffer.compare(one, other) === 0);
      }),
    );
    expect(text(Buffer.from('ä\\x41'))).toBe('ä\\\\x41');
    expect(text(Buffer.from([0x61, 0xc3, 0xff]))).toBe('a\\xc3\\xff');
  });
});

describe('runtime files', () => {
  const before = { ...process.env };
  let files: string[];
  const complaints: string[] = [];
  const complain = (sentence: string) => void complaints.push(sentence);
  beforeEach(() => {
    files = [];
    complaints.length = 0;
    process.env['XDG_RUNTIME_DIR'] = fs.mkdtempSync(path.join(os.tmpdir(), 'runtime-'));
  });
  afterEach(() => {
    fs.rmSync(process.env['XDG_RUNTIME_DIR'] ?? '', { recursive: true });
    for (const file of files) fs.rmSync(file, { force: true });
    process.env = { ...before };
  });

  const fileOf = (change: Partial<RuntimeFile> = {}): RuntimeFile => ({
    protocol: 1,
    pid: process.pid,
    startTime: processStartTime(process.pid) ?? '',
    url: 'ws://127.0.0.1:1/inspector',
    token: 'secret',
    kind: 'serve',
    implementation: 'test',
    sharedDir: '/srv',
    transport: 'none',
    ...change,
  });
  /** Puts a file where daemons leave theirs in a session of the user. */
  const place = (name: string, content: string): string => {
    const folder = path.join(process.env['XDG_RUNTIME_DIR'] ?? '', 'virtiofsd-inspector');
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const file = path.join(folder, name);
    fs.writeFileSync(file, content, { mode: 0o600 });
    files.push(file);
    return file;
  };
  const listed = () => listRuntimeFiles(complain).filter(({ token }) => token === 'secret');

  it('are written whole, for their user alone, and removed', () => {
    const remove = writeRuntimeFile(fileOf());
    const file = path.join(runtimeDirectory(), `${process.pid}.json`);
    files.push(file);
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    expect(fs.readdirSync(runtimeDirectory()).filter((name) => name.endsWith('.new'))).toEqual([]);
    expect(listed()).toEqual([fileOf()]);
    remove();
    expect(fs.existsSync(file)).toBe(false);
    remove();
  });

  it('of a process that is gone are cleaned away', () => {
    // pid_max is 2^22 at the most (proc(5)).
    const file = place('4194305.json', JSON.stringify(fileOf({ pid: 4_194_305 })));
    expect(listed()).toEqual([]);
    expect(fs.existsSync(file)).toBe(false);
    expect(complaints).toEqual([]);
  });

  it('of a process whose number was given to another are cleaned away', () => {
    const file = place(`${process.pid}.json`, JSON.stringify(fileOf({ startTime: '1' })));
    expect(listed()).toEqual([]);
    expect(fs.existsSync(file)).toBe(false);
  });

  it.each([
    ['no JSON', '{'],
    ['empty', ''],
    ['a list', '[]'],
    ['no token', JSON.stringify({ ...fileOf(), token: undefined })],
    ['a wrong pid', JSON.stringify({ ...fileOf(), pid: -1 })],
    ['an unknown kind', JSON.stringify({ ...fileOf(), kind: 'other' })],
  ])('that are malformed are reported and left alone: %s', (_name, content) => {
    const file = place('1.json', content);
    expect(listed()).toEqual([]);
    expect(complaints).toEqual([expect.stringContaining(file)]);
    expect(fs.existsSync(file)).toBe(true);
  });

  it('other files are none of its business', () => {
    const file = place('notes.txt', 'x');
    expect(listed()).toEqual([]);
    expect(complaints).toEqual([]);
    expect(readRuntimeFile(`${file}.missing`, complain)).toBeNull();
    expect(complaints).toEqual([]);
  });

  it.runIf(process.getuid?.() === 0)('are not believed when another user wrote them', () => {
    const file = place(`${process.pid}.json`, JSON.stringify(fileOf()));
    expect(listed()).toHaveLength(1);
    fs.chownSync(file, 65_534, 65_534);
    expect(listed()).toEqual([]);
    expect(complaints).toEqual([expect.stringContaining(file)]);
  });
});

describe('growth', () => {
  it('a million lookups and forgets leave no trace', { timeout: 120_000 }, () => {
    const source = new Source();
    source.collects = false;
    const round = (from: number) => {
      for (let i = 0; i < 1_000; i++) {
        const first = source.lookup(`name-${i}`, { ino: 20 + i, generation: from + 1 });
        const second = source.lookup(`name-${i}`, { ino: 20 + i, generation: from + 2 });
        source.answerProbes(ESTALE);
        source.forget(first);
        source.forget(second);
      }
    };
    const comeAndGo = (from: number, to: number) => {
      for (let n = from; n < to; n++) {
        source.forget(source.lookup('name', { ino: 20 + n, generation: 1 }));
      }
    };
    round(0);
    // More than the lanes keep of former owners: from here on one makes room for another.
    comeAndGo(0, 100_000);
    const bytes = source.model.byteLength;
    for (let n = 1; n < 20; n++) round(n * 2);
    comeAndGo(100_000, 500_000);
    const { model } = source;
    expect(Number(model.counters.forgets)).toBe(540_000);
    expect(model.tables.size).toBe(1);
    expect(model.byteLength).toBe(bytes);
    expect(model.attention.size).toBe(0);
    expect(model.directories.size).toBe(0);
    expect(model.hazards.list(Infinity)).toEqual([]);
    expect(model.overview.max(0, model.tables.rowLimit)).toBeLessThanOrEqual(1);
    expect(model.tables.rowLimit).toBeLessThan(10);
  });

  it('the history keeps the newest and counts on', () => {
    const history = new EventHistory(new Map());
    for (let seq = 1; seq <= 200_000; seq++) history.push({ type: 'init', seq, time: 0 });
    expect(history.oldest).toBeGreaterThan(200_000 - 41_000);
    expect(history.from(200_000, 10).map(({ seq }) => seq)).toEqual([200_000]);
    expect(history.from(200_001, 10)).toEqual([]);
    expect(history.from(1, 1).map(({ seq }) => seq)).toEqual([history.oldest]);
    const newest = history.newestOf(1 as Nodeid, 2, () => true);
    expect(newest.map(({ seq }) => seq)).toEqual([200_000, 199_999]);
  });
});
