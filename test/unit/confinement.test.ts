import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ALL_CAPABILITIES,
  keptCapabilities,
  mask,
  ownCapabilities,
} from '../../daemon/confinement/capabilities';
import { confinementError } from '../../daemon/confinement/failure';
import type { Architecture, Instruction } from '../../daemon/confinement/systemCallFilter';
import { filterProgram, systemCallFilter } from '../../daemon/confinement/systemCallFilter';
import { systemCalls } from '../../daemon/confinement/systemCalls';
import { parseModcaps } from '../../daemon/options/confinementOptions';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

const ALLOW = 0x7fff0000;
const DENY = 0x80000000;
const ENOSYS = 0x00050026;
const ARCHITECTURES = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;

/** What a program answers, as the kernel runs it. */
function judge(
  program: readonly Instruction[],
  number: number,
  words: readonly number[] = [],
  architecture: number = ARCHITECTURES.x64,
): number {
  const data = [number, architecture, 0, 0, ...words];
  let accumulator = 0;
  for (let at = 0; at < program.length; at++) {
    const { code, jt, jf, k } = program[at]!;
    if (code === 0x20) accumulator = data[k / 4] ?? 0;
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x15) at += accumulator === k ? jt : jf;
    else if (code === 0x35) at += accumulator >= k ? jt : jf;
    else if (code === 0x06) return k;
    else throw new Error(`unknown instruction ${code}`);
  }
  throw new Error('the program runs past its end');
}

function program(architecture: Architecture): Instruction[] {
  return filterProgram(systemCalls(architecture), architecture, DENY);
}

describe.each(['x64', 'arm64'] as const)('the system call filter on %s', (architecture) => {
  const filter = program(architecture);
  const calls = systemCalls(architecture);

  it('allows what is on the list and nothing else', () => {
    const allowed = new Set(
      calls.filter(({ verdict }) => verdict.kind === 'allow').map(({ number }) => number),
    );
    const listed = new Set(calls.map(({ number }) => number));
    expect(allowed.size).toBeGreaterThan(90);
    for (let number = 0; number < 1024; number++) {
      if (listed.has(number) !== allowed.has(number)) continue;
      const answer = judge(filter, number, [], ARCHITECTURES[architecture]);
      expect(answer, `call ${number}`).toBe(allowed.has(number) ? ALLOW : DENY);
    }
    fc.assert(
      fc.property(fc.integer({ min: 1024, max: 0xffffffff }), (number) => {
        expect(judge(filter, number, [], ARCHITECTURES[architecture])).toBe(DENY);
      }),
    );
  });

  it('denies the calls of other architectures', () => {
    const other = architecture === 'x64' ? ARCHITECTURES.arm64 : ARCHITECTURES.x64;
    for (const { number } of calls) expect(judge(filter, number, [], other)).toBe(DENY);
  });

  it('looks at arguments', () => {
    const numberOf = (name: string) => calls.find((call) => call.name === name)?.number ?? -1;
    const ask = (name: string, words: readonly number[]) =>
      judge(filter, numberOf(name), words, ARCHITECTURES[architecture]);
    // pthread_create of glibc; fork; a thread in a namespace.
    expect(ask('clone', [0x3d0f00])).toBe(ALLOW);
    expect(ask('clone', [0x01200011])).toBe(DENY);
    expect(ask('clone', [0x3d0f00 | 0x10000000])).toBe(DENY);
    expect(ask('clone3', [])).toBe(ENOSYS);
    // FIONBIO; TIOCSTI, which types into a terminal.
    expect(ask('ioctl', [1, 0, 0x5421, 0])).toBe(ALLOW);
    expect(ask('ioctl', [0, 0, 0x5412, 0])).toBe(DENY);
    // PR_SET_NAME; PR_SET_DUMPABLE.
    expect(ask('prctl', [15, 0])).toBe(ALLOW);
    expect(ask('prctl', [4, 0])).toBe(DENY);
    // Getting a limit of one's own; setting one; another's.
    expect(ask('prlimit64', [0, 0, 7, 0, 0, 0, 0x1000, 0])).toBe(ALLOW);
    expect(ask('prlimit64', [0, 0, 7, 0, 0x1000, 0, 0, 0])).toBe(DENY);
    expect(ask('prlimit64', [0, 0, 7, 0, 0, 0x7fff, 0, 0])).toBe(DENY);
    expect(ask('prlimit64', [17, 0, 7, 0, 0, 0, 0, 0])).toBe(DENY);
  });
});

describe('the list of system calls', () => {
  it.for([
    ['x64', '/usr/include/x86_64-linux-gnu/asm/unistd_64.h'],
    ['arm64', '/usr/include/asm-generic/unistd.h'],
  ] as const)('has the numbers of the kernel headers: %s', ([architecture, headers], context) => {
    if (!existsSync(headers)) context.skip('the kernel headers are not installed');
    const text = readFileSync(headers, 'utf8');
    const known = systemCalls(architecture).flatMap(({ name, number }) => {
      // Some have another name where they are the only one of their kind.
      const names = `(?:${name}|${name.replace('newfstatat', 'fstatat')})`;
      const found = new RegExp(`__NR(?:3264)?_${names} ([0-9]+)`).exec(text)?.[1];
      // Headers may be older than a call.
      return found === undefined ? [] : [{ name, number, found: Number(found) }];
    });
    expect(known.length).toBeGreaterThan(90);
    for (const { name, number, found } of known) expect(number, name).toBe(found);
  });

  it('names no call twice', () => {
    for (const architecture of ['x64', 'arm64'] as const) {
      const numbers = systemCalls(architecture).map(({ number }) => number);
      expect(new Set(numbers).size).toBe(numbers.length);
    }
  });

  it('has nothing that starts programs, mounts, traces, or makes sockets and namespaces', () => {
    const names = new Set(systemCalls('x64').map(({ name }) => name));
    for (const name of ['execve', 'execveat', 'fork', 'vfork', 'mount', 'umount2', 'pivot_root']) {
      expect(names.has(name), name).toBe(false);
    }
    for (const name of ['chroot', 'ptrace', 'process_vm_writev', 'socket', 'unshare', 'setns']) {
      expect(names.has(name), name).toBe(false);
    }
    for (const name of ['bpf', 'seccomp', 'io_uring_setup', 'io_uring_enter', 'kexec_load']) {
      expect(names.has(name), name).toBe(false);
    }
  });

  it('is not known for every machine', () => {
    expect(() => systemCallFilter('kill', 'riscv64')).toThrow(/--seccomp=none/);
    expect(systemCallFilter('kill', 'x64').byteLength % 8).toBe(0);
  });
});

describe('a process under the filter', () => {
  // mount(2) is not on the list. Its arguments are wrong on purpose.
  const script = `
    const native = require(process.argv[1]);
    const { isMainThread, Worker } = require('node:worker_threads');
    const filter = Buffer.from(process.argv[2], 'base64');
    const loaded = native.loadSystemCallFilter(filter, process.argv[3] === 'trap');
    if (loaded !== 0) process.exit(90);
    process.stdout.write('loaded ');
    native.mount('none', '/nowhere', 'none', 0, '');
    process.stdout.write('served on');
  `;
  const addon = path.join(root, 'prebuilds', `linux-${process.arch}`, 'virtiofsd-inspector.node');
  const filterFor = (action: 'kill' | 'log' | 'trap') =>
    Buffer.from(systemCallFilter(action, process.arch)).toString('base64');
  const start = (action: 'kill' | 'log' | 'trap') =>
    spawnSync(process.execPath, ['-e', script, addon, filterFor(action), action], {
      encoding: 'utf8',
    });

  it('is killed by a call that is not on the list', () => {
    const { signal, stdout } = start('kill');
    expect({ signal, stdout }).toEqual({ signal: 'SIGSYS', stdout: 'loaded ' });
  });

  it('goes on as programs of Node do', () => {
    const life = `
      const native = require(process.argv[1]);
      const fs = require('node:fs');
      const { Worker } = require('node:worker_threads');
      if (native.loadSystemCallFilter(Buffer.from(process.argv[2], 'base64'), false) !== 0) {
        process.exit(90);
      }
      const kept = [];
      for (let i = 0; i < 2e5; i++) kept.push({ i, text: 'x'.repeat(i % 50) });
      gc();
      process.on('uncaughtException', async (error) => {
        // The pool of libuv starts its threads now.
        const own = await fs.promises.readFile(process.argv[1]);
        require('node:crypto').randomBytes(32, () => {
          const worker = new Worker("throw new Error('in the worker')", { eval: true });
          worker.once('error', ({ message }) => {
            worker.once('exit', () => process.stdout.write([error.message, message, own.length > 0].join()));
          });
        });
      });
      setTimeout(() => { throw new Error('in a timer'); }, 5);
    `;
    const done = spawnSync(
      process.execPath,
      ['--expose-gc', '-e', life, addon, filterFor('kill'), 'kill'],
      { encoding: 'utf8' },
    );
    const { signal, stdout, stderr } = done;
    expect({ signal, stdout, stderr }).toEqual({
      signal: null,
      stdout: 'in a timer,in the worker,true',
      stderr: '',
    });
  });

  it('serves on with log', () => {
    const { status, stdout } = start('log');
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'loaded served on' });
  });

  it('says with trap which call it was', () => {
    const { status, stderr } = start('trap');
    expect(status).toBe(128 + 31);
    expect(stderr).toMatch(/^error: System call [0-9]+ is refused by --seccomp=trap\.\n$/);
  });
});

describe('the capabilities', () => {
  it('are those of virtiofsd, and one more for file handles', () => {
    const plain = mask([
      ...(['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID'] as const),
      ...(['SETGID', 'SETUID', 'MKNOD', 'SETFCAP'] as const),
    ]);
    expect(keptCapabilities([], false, ALL_CAPABILITIES)).toBe(plain);
    const more = keptCapabilities([], true, ALL_CAPABILITIES);
    expect(more).toBe(plain | mask(['DAC_READ_SEARCH']));
  });

  it('are changed by --modcaps, whose last word counts', () => {
    const changes = parseModcaps('+sys_admin:-chown:+kill:-kill');
    const kept = keptCapabilities(changes, false, ALL_CAPABILITIES);
    expect(kept & mask(['SYS_ADMIN'])).not.toBe(0n);
    expect(kept & mask(['CHOWN', 'KILL'])).toBe(0n);
  });

  it('are only the usual ones that there are, but all that were asked for', () => {
    const kept = keptCapabilities(parseModcaps('+sys_admin'), true, mask(['CHOWN', 'KILL']));
    expect(kept).toBe(mask(['CHOWN', 'SYS_ADMIN']));
  });

  it('are read from the kernel', () => {
    const { permitted, bounds } = ownCapabilities();
    expect(permitted & ~bounds).toBe(0n);
  });
});

describe('what is said when the daemon cannot be confined', () => {
  const EPERM = 1;

  it.each([
    ['clone', false, /user\.max_user_namespaces.*--sandbox=none/],
    ['clone', true, /CAP_SYS_ADMIN.*--sandbox=none/],
    ['mount /proc', false, /container.*--sandbox=none/],
    ['bind share', true, /CAP_SYS_ADMIN.*--sandbox=none/],
    ['capability bounds', true, /CAP_SETPCAP/],
    ['capabilities', true, /--modcaps/],
    ['execve', false, /read and execute/],
  ])('%s, root: %s', (step, asRoot, words) => {
    const { message } = confinementError({ step, errno: EPERM }, asRoot);
    expect(message).toMatch(words);
    expect(message).toContain(`${step} failed (EPERM)`);
  });

  it('has a word for errors that it does not know', () => {
    const { message } = confinementError({ step: 'chdir', errno: 5 }, true);
    expect(message).toMatch(/chdir failed \(EIO\)\. Use --sandbox=none/);
  });
});
