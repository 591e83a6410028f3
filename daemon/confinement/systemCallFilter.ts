/**
 * Builds the program by which the kernel judges each system call: classic BPF over struct
 * seccomp_data, seccomp(2). A binary search over the numbers, since there are many.
 */

import type { SeccompAction } from '../options/confinementOptions';
import type { Condition, SystemCall, Verdict } from './systemCalls';
import { systemCalls } from './systemCalls';

/** struct sock_filter of linux/filter.h. */
export interface Instruction {
  readonly code: number;
  /** Instructions to leave out when the comparison holds, and when not. */
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

// linux/bpf_common.h
const LOAD_WORD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP_IF_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_IF_AT_LEAST = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN = 0x06; // BPF_RET | BPF_K
const FARTHEST = 255;

// linux/seccomp.h
const SECCOMP_RET_KILL_PROCESS = 0x80000000;
const SECCOMP_RET_TRAP = 0x00030000;
const SECCOMP_RET_ERRNO = 0x00050000;
const SECCOMP_RET_LOG = 0x7ffc0000;
const SECCOMP_RET_ALLOW = 0x7fff0000;

/** struct seccomp_data: {int nr, u32 arch, u64 instruction_pointer, u64 args[6]}, little-endian. */
const NUMBER_AT = 0;
const ARCHITECTURE_AT = 4;
const ARGUMENTS_AT = 16;

// linux/audit.h
const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;
/** The x32 calls of x86_64 have this bit, and are others: asm/unistd.h. */
const X32_SYSCALL_BIT = 0x40000000;

export type Architecture = keyof typeof AUDIT_ARCH;

const DENIALS = {
  kill: SECCOMP_RET_KILL_PROCESS,
  trap: SECCOMP_RET_TRAP,
  log: SECCOMP_RET_LOG,
} as const satisfies Record<Exclude<SeccompAction, 'none'>, number>;

/**
 * The filter as the kernel takes it: an array of struct sock_filter.
 *
 * @param action what becomes of a call that is not on the list
 * @throws Error on an architecture whose calls are not known
 */
export function systemCallFilter(
  action: Exclude<SeccompAction, 'none'>,
  architecture: string,
): Uint8Array {
  if (!isArchitecture(architecture)) {
    throw new Error(
      `--seccomp=${action} is not possible on ${architecture}: its system calls are not known. ` +
        'Use --seccomp=none.',
    );
  }
  const program = filterProgram(systemCalls(architecture), architecture, DENIALS[action]);
  const bytes = new DataView(new ArrayBuffer(program.length * 8));
  program.forEach(({ code, jt, jf, k }, index) => {
    bytes.setUint16(index * 8, code, true);
    bytes.setUint8(index * 8 + 2, jt);
    bytes.setUint8(index * 8 + 3, jf);
    bytes.setUint32(index * 8 + 4, k, true);
  });
  return new Uint8Array(bytes.buffer);
}

/** @param denial what is returned for calls that are not in `calls` */
export function filterProgram(
  calls: readonly SystemCall[],
  architecture: Architecture,
  denial: number,
): Instruction[] {
  return [
    load(ARCHITECTURE_AT),
    jump(JUMP_IF_EQUAL, AUDIT_ARCH[architecture], 1, 0),
    ret(denial),
    load(NUMBER_AT),
    ...search(intervals(calls, denial)),
  ];
}

function isArchitecture(name: string): name is Architecture {
  return Object.hasOwn(AUDIT_ARCH, name);
}

/** Numbers from `start` up to the next interval's have this outcome. */
interface Interval {
  readonly start: number;
  readonly outcome: readonly Instruction[];
}

function intervals(calls: readonly SystemCall[], denial: number): Interval[] {
  const denied = [ret(denial)];
  const sorted = [...calls].sort((a, b) => a.number - b.number);
  const out: Interval[] = [{ start: 0, outcome: denied }];
  for (const { number, verdict } of sorted) {
    // What was said about the numbers from the last call on ends here.
    if (out.at(-1)?.start === number) out.pop();
    out.push({ start: number, outcome: outcome(verdict, denial) });
    out.push({ start: number + 1, outcome: denied });
  }
  out.push({ start: X32_SYSCALL_BIT, outcome: denied });
  return out.filter(({ outcome: [first, ...more] }, index) => {
    const [before, ...moreBefore] = out[index - 1]?.outcome ?? [];
    const same = before?.code === first?.code && before?.k === first?.k;
    return !(same && more.length === 0 && moreBefore.length === 0);
  });
}

/** Finds the interval of the number in the accumulator. */
function search(all: readonly Interval[]): Instruction[] {
  const [first] = all;
  if (first === undefined) return [];
  if (all.length === 1) return [...first.outcome];
  const middle = all.length >> 1;
  const lower = search(all.slice(0, middle));
  const upper = search(all.slice(middle));
  return [jump(JUMP_IF_AT_LEAST, all[middle]?.start ?? 0, lower.length, 0), ...lower, ...upper];
}

function outcome(verdict: Verdict, denial: number): Instruction[] {
  switch (verdict.kind) {
    case 'allow':
      return [ret(SECCOMP_RET_ALLOW)];
    case 'errno':
      return [ret(SECCOMP_RET_ERRNO | verdict.errno)];
    case 'allow-if':
      return [...verdict.conditions.flatMap((one) => test(one, denial)), ret(SECCOMP_RET_ALLOW)];
  }
}

/** Goes on behind itself when the condition holds. */
function test({ argument, half, mask, oneOf }: Condition, denial: number): Instruction[] {
  return [
    load(ARGUMENTS_AT + 8 * argument + (half === 'low' ? 0 : 4)),
    ...(mask === undefined ? [] : [{ code: AND, jt: 0, jf: 0, k: mask }]),
    // Each comparison that holds leaves out the others and the denial.
    ...oneOf.map((value, index) => jump(JUMP_IF_EQUAL, value, oneOf.length - index, 0)),
    ret(denial),
  ];
}

function load(offset: number): Instruction {
  return { code: LOAD_WORD, jt: 0, jf: 0, k: offset };
}

function ret(value: number): Instruction {
  return { code: RETURN, jt: 0, jf: 0, k: value >>> 0 };
}

function jump(code: number, k: number, jt: number, jf: number): Instruction {
  if (jt > FARTHEST) throw new Error('The system call filter has a jump that is too far.');
  return { code, jt, jf, k: k >>> 0 };
}
