/**
 * Targets P6 and P7: the tables at a million entries, beside std::map and std::unordered_map in one
 * run, and at ten million. Each measurement is a process of its own; the order is interleaved; the
 * medians of five are printed.
 *
 *     npm run bench -- tables
 */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Candidate } from '../../daemon/tables/candidate';
import { InodeTables } from '../../daemon/tables/inodeTables';
import { LOOKUP_RULES } from '../../daemon/tables/lookupRule';
import { benchRoot, median, table } from './measure';
import { modelOf } from './millionEntries';

interface Result {
  readonly insert: number;
  readonly random: number;
  readonly ordered: number;
  readonly bytes: number;
}

const ROUNDS = 5;
const COUNT = 1_000_000;

function mix(i: number): number {
  return Math.imul(i, 2654435761) >>> 0;
}

/** 1…count in an order without pattern, the same each time and in the peer. */
function shuffled(count: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i + 1);
  let state = 1;
  for (let i = count - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 4294967296) * (i + 1));
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return order;
}

function cpuNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

function fill(candidate: Candidate, i: number): void {
  candidate.inoLow = i;
  candidate.handleWords[0] = i;
  candidate.handleWords[1] = mix(i) | 0;
}

function ours(count: number): Result {
  const tables = new InodeTables(LOOKUP_RULES['handle-then-fd']);
  const candidate = new Candidate();
  candidate.devMajor = 7;
  candidate.mntId = 74;
  candidate.mode = 0o100644;
  candidate.handleType = 1;
  candidate.handleLength = 8;
  const start = cpuNs();
  for (let i = 1; i <= count; i++) {
    fill(candidate, i);
    if (tables.claim(candidate) !== 0) throw new Error('claimed too early');
    tables.insert(candidate);
  }
  const filled = cpuNs();
  const order = shuffled(count);
  const inserted = cpuNs();
  let sum = 0;
  for (const i of order) {
    fill(candidate, i);
    sum += tables.claim(candidate);
  }
  const random = cpuNs();
  for (let i = 1; i <= count; i++) {
    fill(candidate, i);
    sum += tables.claim(candidate);
  }
  const ordered = cpuNs();
  if (sum === 0) throw new Error('nothing found');
  return {
    insert: (filled - start) / count,
    random: (random - inserted) / count,
    ordered: (ordered - random) / count,
    bytes: tables.byteLength / count,
  };
}

/** Bytes an entry in the inspector's model, with names of 14 bytes. */
function modelBytes(count: number): number {
  return modelOf(count, { event: () => undefined, probe: () => undefined }).byteLength / count;
}

function child(...args: string[]): string {
  return execFileSync(process.execPath, [__filename, ...args], { encoding: 'utf8' });
}

function peer(program: string, kind: string, count: number): Result {
  const said = execFileSync(program, [kind, String(count)], { encoding: 'utf8' });
  const [, , insert, random, ordered, bytes] = said.split(' ').map(Number);
  return { insert: insert ?? 0, random: random ?? 0, ordered: ordered ?? 0, bytes: bytes ?? 0 };
}

function medians(results: readonly Result[]): Result {
  const of = (key: keyof Result) => median(results.map((result) => result[key]));
  return { insert: of('insert'), random: of('random'), ordered: of('ordered'), bytes: of('bytes') };
}

function row(name: string, result: Result): string[] {
  const ns = (value: number) => `${value.toFixed(0)} ns`;
  return [name, ns(result.insert), ns(result.random), ns(result.ordered), result.bytes.toFixed(1)];
}

function main(): void {
  const program = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'bench-tables-')), 'peer');
  const source = path.join(benchRoot(), 'test/bench/peers/tables.cc');
  execFileSync('g++', ['-O2', '-std=c++17', '-o', program, source]);
  const results = { ours: [] as Result[], map: [] as Result[], unordered: [] as Result[] };
  for (let round = 0; round < ROUNDS; round++) {
    results.ours.push(JSON.parse(child('ours', String(COUNT))) as Result);
    results.map.push(peer(program, 'map', COUNT));
    results.unordered.push(peer(program, 'unordered_map', COUNT));
  }
  const mine = medians(results.ours);
  const map = medians(results.map);
  const unordered = medians(results.unordered);
  const ten = JSON.parse(child('ours', String(COUNT * 10))) as Result;
  const ratio = (a: Result, b: Result) => [
    ...(['insert', 'random', 'ordered', 'bytes'] as const).map((key) =>
      (a[key] / b[key]).toFixed(2),
    ),
  ];
  table(
    ['1M entries, CPU time', 'insert', 'lookup, random', 'lookup, in order', 'bytes an entry'],
    [
      row('InodeTables', mine),
      row('std::map x3', map),
      row('std::unordered_map x3', unordered),
      ['ours / std::map', ...ratio(mine, map)],
      ['ours / std::unordered_map', ...ratio(mine, unordered)],
      row('InodeTables, 10M entries', ten),
      ['10M / 1M', ...ratio(ten, mine)],
    ],
  );
  const model = Number(child('model', String(COUNT)));
  process.stdout.write(`\ninspector's model with names: ${model.toFixed(1)} bytes an entry\n`);
}

const [what, count] = process.argv.slice(2);
if (what === 'ours') process.stdout.write(JSON.stringify(ours(Number(count))));
else if (what === 'model') process.stdout.write(String(modelBytes(Number(count))));
else main();
