/**
 * What a daemon that serves may ask of the kernel: what Node needs once it runs, and what the file
 * system needs. Nothing here starts a program, mounts, traces, opens a socket or a namespace.
 *
 * Found with `strace -f` and --seccomp=log under the workloads of the test suites; calls that only
 * other versions of Node and of the C library make in the same places are there as well.
 */

/** Numbers on x86_64 (asm/unistd_64.h) and arm64 (asm-generic/unistd.h); null: there is none. */
type Numbers = readonly [x64: number | null, arm64: number | null];

/** One condition on an argument; the kernel looks at 64 bits, each half is a word of its own. */
export interface Condition {
  readonly argument: number;
  readonly half: 'low' | 'high';
  /** Left out: all bits. */
  readonly mask?: number;
  readonly oneOf: readonly number[];
}

export type Verdict =
  | { readonly kind: 'allow' }
  /** The call is not made; the program sees this errno. */
  | { readonly kind: 'errno'; readonly errno: number }
  /** Allowed when all hold. */
  | { readonly kind: 'allow-if'; readonly conditions: readonly Condition[] };

export interface SystemCall {
  readonly name: string;
  readonly number: number;
  readonly verdict: Verdict;
}

const ALLOWED: Readonly<Record<string, Numbers>> = {
  // Memory and threads.
  brk: [12, 214],
  exit: [60, 93],
  exit_group: [231, 94],
  futex: [202, 98],
  getcpu: [309, 168],
  getpid: [39, 172],
  gettid: [186, 178],
  madvise: [28, 233],
  membarrier: [324, 283],
  // V8 makes its code executable; what it may map that way cannot be told apart here.
  mmap: [9, 222],
  mprotect: [10, 226],
  mremap: [25, 216],
  munmap: [11, 215],
  pkey_alloc: [330, 289],
  pkey_free: [331, 290],
  pkey_mprotect: [329, 288],
  rseq: [334, 293],
  sched_getaffinity: [204, 123],
  sched_yield: [24, 124],
  set_robust_list: [273, 99],

  // Signals.
  restart_syscall: [219, 128],
  rt_sigaction: [13, 134],
  rt_sigprocmask: [14, 135],
  rt_sigreturn: [15, 139],
  sigaltstack: [131, 132],
  tgkill: [234, 131],

  // The time, and what the machine is.
  clock_getres: [229, 114],
  clock_gettime: [228, 113],
  clock_nanosleep: [230, 115],
  getrandom: [318, 278],
  getrlimit: [97, 163],
  getrusage: [98, 165],
  gettimeofday: [96, 169],
  nanosleep: [35, 101],
  sysinfo: [99, 179],
  time: [201, null],
  uname: [63, 160],

  // Waiting.
  epoll_create1: [291, 20],
  epoll_ctl: [233, 21],
  epoll_pwait: [281, 22],
  epoll_pwait2: [441, 441],
  epoll_wait: [232, null],
  eventfd2: [290, 19],
  pipe2: [293, 59],
  poll: [7, null],
  ppoll: [271, 73],

  // Descriptors.
  close: [3, 57],
  dup: [32, 23],
  dup2: [33, null],
  dup3: [292, 24],
  fcntl: [72, 25],
  lseek: [8, 62],
  pread64: [17, 67],
  preadv: [295, 69],
  preadv2: [327, 286],
  pwrite64: [18, 68],
  pwritev: [296, 70],
  pwritev2: [328, 287],
  read: [0, 63],
  readv: [19, 65],
  splice: [275, 76],
  write: [1, 64],
  writev: [20, 66],

  // The sockets that exist, and their clients.
  accept4: [288, 242],
  getpeername: [52, 205],
  getsockname: [51, 204],
  getsockopt: [55, 209],
  recvfrom: [45, 207],
  recvmsg: [47, 212],
  sendmsg: [46, 211],
  sendto: [44, 206],
  setsockopt: [54, 208],
  shutdown: [48, 210],

  // Files.
  access: [21, null],
  chdir: [80, 49],
  copy_file_range: [326, 285],
  faccessat: [269, 48],
  faccessat2: [439, 439],
  fallocate: [285, 47],
  fchdir: [81, 50],
  fchmod: [91, 52],
  fchmodat: [268, 53],
  fchmodat2: [452, 452],
  fchown: [93, 55],
  fchownat: [260, 54],
  fdatasync: [75, 83],
  flock: [73, 32],
  fstat: [5, 80],
  fstatfs: [138, 44],
  fsync: [74, 82],
  ftruncate: [77, 46],
  getcwd: [79, 17],
  getdents64: [217, 61],
  // Whether two descriptors are one inode (a probe of an overlay's hard links).
  inotify_add_watch: [254, 27],
  inotify_init1: [294, 26],
  linkat: [265, 37],
  lstat: [6, null],
  mkdirat: [258, 34],
  mknodat: [259, 33],
  name_to_handle_at: [303, 264],
  newfstatat: [262, 79],
  open: [2, null],
  open_by_handle_at: [304, 265],
  openat: [257, 56],
  openat2: [437, 437],
  readlink: [89, null],
  readlinkat: [267, 78],
  renameat: [264, 38],
  renameat2: [316, 276],
  stat: [4, null],
  statfs: [137, 43],
  statx: [332, 291],
  symlinkat: [266, 36],
  syncfs: [306, 267],
  umask: [95, 166],
  unlink: [87, null],
  unlinkat: [263, 35],
  utimensat: [280, 88],

  // Extended attributes.
  fgetxattr: [193, 10],
  flistxattr: [196, 13],
  fremovexattr: [199, 16],
  fsetxattr: [190, 7],
  getxattr: [191, 8],
  lgetxattr: [192, 9],
  listxattr: [194, 11],
  llistxattr: [195, 12],
  lremovexattr: [198, 15],
  lsetxattr: [189, 6],
  removexattr: [197, 14],
  setxattr: [188, 5],

  // Who somebody is: a guest's callers make files as themselves.
  capget: [125, 90],
  capset: [126, 91],
  getegid: [108, 177],
  geteuid: [107, 175],
  getgid: [104, 176],
  getgroups: [115, 158],
  getuid: [102, 174],
  setgroups: [116, 159],
  setresgid: [119, 149],
  setresuid: [117, 147],
};

// linux/sched.h
const CLONE_THREAD = 0x00010000;
const CLONE_ANY_NAMESPACE = 0x7e020080;
const ENOSYS = 38;
// asm-generic/ioctls.h
const TCGETS = 0x5401;
const FIONREAD = 0x541b;
const FIONBIO = 0x5421;
const FIONCLEX = 0x5450;
const FIOCLEX = 0x5451;
// linux/prctl.h
const PR_SET_NAME = 15;
const PR_GET_NAME = 16;
const PR_SET_VMA = 0x53564d41;

interface Restricted {
  readonly name: string;
  readonly numbers: Numbers;
  readonly verdict: Verdict;
}

const RESTRICTED: readonly Restricted[] = [
  {
    // Threads, but no process and no namespace.
    name: 'clone',
    numbers: [56, 220],
    verdict: {
      kind: 'allow-if',
      conditions: [
        {
          argument: 0,
          half: 'low',
          mask: CLONE_THREAD | CLONE_ANY_NAMESPACE,
          oneOf: [CLONE_THREAD],
        },
      ],
    },
  },
  // Its flags are behind a pointer, where a filter cannot look. The C library falls back to clone.
  { name: 'clone3', numbers: [435, 435], verdict: { kind: 'errno', errno: ENOSYS } },
  {
    name: 'ioctl',
    numbers: [16, 29],
    verdict: {
      kind: 'allow-if',
      conditions: [
        { argument: 1, half: 'low', oneOf: [FIONBIO, FIOCLEX, FIONCLEX, FIONREAD, TCGETS] },
      ],
    },
  },
  {
    // Names of threads and of memory.
    name: 'prctl',
    numbers: [157, 167],
    verdict: {
      kind: 'allow-if',
      conditions: [{ argument: 0, half: 'low', oneOf: [PR_SET_NAME, PR_GET_NAME, PR_SET_VMA] }],
    },
  },
  {
    // Asks for limits of its own, sets none.
    name: 'prlimit64',
    numbers: [302, 261],
    verdict: {
      kind: 'allow-if',
      conditions: [
        { argument: 0, half: 'low', oneOf: [0] },
        { argument: 2, half: 'low', oneOf: [0] },
        { argument: 2, half: 'high', oneOf: [0] },
      ],
    },
  },
];

/** The calls of an architecture, in no order. */
export function systemCalls(architecture: 'x64' | 'arm64'): SystemCall[] {
  const column = architecture === 'x64' ? 0 : 1;
  const allow: Verdict = { kind: 'allow' };
  const all = [
    ...Object.entries(ALLOWED).map(([name, numbers]) => ({ name, numbers, verdict: allow })),
    ...RESTRICTED,
  ];
  return all.flatMap(({ name, numbers, verdict }) => {
    const number = numbers[column];
    return number === null ? [] : [{ name, number, verdict }];
  });
}
