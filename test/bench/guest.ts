/**
 * Target P5: a guest's tree walk, copy and compile over our daemon, beside both virtiofsd daemons in
 * the same run.
 *
 *     npm run bench -- guest [rounds]
 *
 * One machine for all; each measurement has a fresh daemon, device and mount, so that lookups are
 * cold, while the guest's programs are warm. The order is interleaved, the medians are printed. QEMU
 * has one processor, the daemons the other one. Where QEMU translates the guest's code (no KVM) most
 * of the wall time is the guest's own, so the daemons' processor time is printed as well. Needs root.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Daemon } from '../guest/daemon';
import { Guest, guestParts } from '../guest/guest';
import { benchRoot, median, table } from './measure';

const root = benchRoot();
const C = '/usr/lib/qemu/virtiofsd';
const RUST = path.join(root, '.cache/virtiofsd/bin/virtiofsd');
const QEMU_PROCESSOR = '0';
const DAEMON_PROCESSOR = '1';

interface Contender {
  readonly name: string;
  /** The handle mode. Ratios are to the first contender that has the same. */
  readonly group: string;
  readonly command: (share: string, socket: string) => readonly string[];
}

function ours(name: string, mode: string, sandbox: string): Contender {
  return {
    name,
    group: mode,
    command: (share, socket) => [
      ...[process.execPath, path.join(root, 'dist/daemon/cli.js'), 'serve'],
      ...[`--inode-file-handles=${mode}`, `--sandbox=${sandbox}`],
      ...['--shared-dir', share, '--socket-path', socket],
    ],
  };
}

function rust(mode: string): Contender {
  return {
    name: 'Rust virtiofsd',
    group: mode,
    command: (share, socket) => [
      ...[RUST, `--inode-file-handles=${mode}`],
      ...['--shared-dir', share, '--socket-path', socket],
    ],
  };
}

const c: Contender = {
  name: 'C virtiofsd',
  group: 'never',
  command: (share, socket) => [C, `--socket-path=${socket}`, '-o', `source=${share}`],
};

const OURS: readonly Contender[] = [
  ours('ours', 'never', 'namespace'),
  ours('ours', 'mandatory', 'namespace'),
  ours('ours, --sandbox=none', 'mandatory', 'none'),
];

/** The other daemons that can be had; who is not says why. */
function peers(): Contender[] {
  spawnSync(process.execPath, [path.join(root, 'scripts/peers.mjs')], { stdio: 'inherit' });
  return [
    ...(fs.existsSync(RUST) ? [rust('never'), rust('mandatory')] : []),
    ...(fs.existsSync(C) ? [c] : []),
  ];
}

const WORKS = {
  walk: 'find . -ls > /dev/null',
  copy: 'cp -a tree/1 tree/2 tree/3 tree/4 tree/5 tree/6 copies',
  compile: `for i in $(seq 8); do gcc -I none -I include/a -I include -c -o out/$i.o src/$i.c; done
    gcc -o out/program out/*.o; ./out/program`,
  // By now the daemon is warm, as it is for most of a machine's life.
  'walk again': 'find . -ls > /dev/null',
} as const;
type Work = keyof typeof WORKS;

const FOLDERS = 30;
const FILES = 60;
const HEADERS = 60;
const SOURCES = 8;

function makeShare(share: string): void {
  for (let folder = 0; folder < FOLDERS; folder++) {
    const at = path.join(share, 'tree', String(folder));
    fs.mkdirSync(at, { recursive: true });
    for (let file = 0; file < FILES; file++) {
      fs.writeFileSync(path.join(at, `file ${file}`), Buffer.alloc(file * 200, 'x'));
    }
  }
  for (const folder of ['include/a', 'include/b', 'src', 'none']) {
    fs.mkdirSync(path.join(share, folder), { recursive: true });
  }
  const headers = [...Array(HEADERS).keys()];
  for (const i of headers) {
    fs.writeFileSync(
      path.join(share, `include/b/h${i}.h`),
      `static int f${i}(void){return ${i};}\n`,
    );
  }
  const includes = headers.map((i) => `#include <b/h${i}.h>\n`).join('');
  const sum = headers.map((i) => `f${i}()`).join('+');
  for (let i = 1; i <= SOURCES; i++) {
    const name = i === 1 ? 'main' : `g${i}`;
    fs.writeFileSync(
      path.join(share, `src/${i}.c`),
      `${includes}int ${name}(void){return 0*(${sum});}\n`,
    );
  }
}

interface Measured {
  /** Seconds as the guest counts them. */
  readonly wall: number;
  /** Seconds of the daemon's processes. */
  readonly cpu: number;
}

async function measure(guest: Guest, daemon: Daemon, tag: string, work: Work): Promise<Measured> {
  await guest.mount(tag);
  const before = daemon.processorTime();
  const said = await guest.must(
    `cd /mnt/${tag}; start=$EPOCHREALTIME; ${WORKS[work]}; end=$EPOCHREALTIME
     echo "$start $end"`,
    600,
  );
  const cpu = daemon.processorTime() - before;
  await guest.must(`umount /mnt/${tag}`);
  const [start = NaN, end = NaN] = said.split(' ').map(Number);
  return { wall: end - start, cpu };
}

async function main(): Promise<void> {
  const contenders = peers().concat(OURS);
  const rounds = Number(process.argv[2] ?? 5);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-guest-'));
  const share = path.join(folder, 'share');
  makeShare(share);
  const guest = await Guest.boot({ parts: guestParts(root) });
  execFileSync('taskset', ['-a', '-c', '-p', QEMU_PROCESSOR, String(guest.pid)], {
    stdio: 'ignore',
  });
  const results = new Map<string, Measured[]>();
  const key = ({ group, name }: Contender, work: Work) => `${group}/${name}/${work}`;
  try {
    await warmUp(guest);
    for (let round = 0; round < rounds; round++) {
      for (const [index, contender] of contenders.entries()) {
        for (const name of ['copies', 'out']) {
          fs.rmSync(path.join(share, name), { recursive: true, force: true });
          fs.mkdirSync(path.join(share, name));
        }
        const tag = `d${round}x${index}`;
        const socket = path.join(folder, tag);
        const daemon = await Daemon.start(
          ['taskset', '-c', DAEMON_PROCESSOR, ...contender.command(share, socket)],
          socket,
        );
        await guest.plug({ socket, tag });
        for (const work of Object.keys(WORKS) as Work[]) {
          const list = results.get(key(contender, work)) ?? [];
          results.set(key(contender, work), [...list, await measure(guest, daemon, tag, work)]);
        }
        await guest.unplug(tag);
        await daemon.ended;
      }
      process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    }
  } finally {
    await guest.kill();
    fs.rmSync(folder, { recursive: true, force: true });
  }
  for (const what of ['wall', 'cpu'] as const) {
    const of = (contender: Contender, work: Work) =>
      median((results.get(key(contender, work)) ?? []).map((measured) => measured[what]));
    const works = Object.keys(WORKS) as Work[];
    table(
      [
        what === 'wall' ? 'median wall time' : 'median processor time of the daemon',
        ...works,
        ...works.map((work) => `${work}, ratio`),
      ],
      contenders.map((contender) => {
        const peer = contenders.find(({ group }) => group === contender.group) ?? contender;
        return [
          `handles ${contender.group}: ${contender.name}`,
          ...works.map((work) => `${of(contender, work).toFixed(2)} s`),
          ...works.map((work) => (of(contender, work) / of(peer, work)).toFixed(2)),
        ];
      }),
    );
  }
}

/** Has the guest read its programs, so that no contender pays for that. */
async function warmUp(guest: Guest): Promise<void> {
  await guest.must(
    `mkdir /tmp/w; cd /tmp/w; echo 'int main(void){return 0;}' > a.c; gcc -c a.c; gcc a.o
     ./a.out; cp -a a.c b; find . -ls > /dev/null; cd /; rm -r /tmp/w`,
  );
}

void main();
