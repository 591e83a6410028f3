/**
 * Where our daemon answers otherwise than a virtiofsd does, and why. A line that matches nothing
 * any more fails the conformance test, so the table stays true.
 */

import type { Listed } from './compare';

/** What ends a peer, or its queue's thread: it leaves the request unanswered. */
const SILENT = /^no answer$/;

const RUST: readonly Listed[] = [
  {
    peer: 'rust',
    where: /› (names that are no names|unlink and rmdir|rename|create) › .*errno$/,
    ours: /^EINVAL$/,
    why: 'Names that are empty, ".", ".." or contain "/" are refused before the host is asked: no kernel sends them, and ".." would leave the share where no sandbox holds it. virtiofsd relies on openat2 and on its sandbox.',
  },
  {
    peer: 'rust',
    where: /› lookup of names that are no names › LOOKUP/,
    ours: /^EINVAL$/,
    why: 'As above.',
  },
  {
    peer: 'rust',
    where: /› unlink and rmdir › the tree on the host › "d"\/"inner"/,
    theirs: /^undefined$/,
    why: 'virtiofsd unlinks "d/inner" as one name; see above.',
  },
  {
    peer: 'rust',
    where: /› open with flags that a kernel keeps to itself › OPEN .*errno$/,
    ours: /^ok$/,
    theirs: /^EEXIST$/,
    why: 'O_CREAT and O_EXCL are taken out of OPEN: Linux masks them, and an existing inode is what is opened.',
  },
  {
    peer: 'rust',
    where: /› open with each flag › READ .*errno$/,
    ours: /^ok$/,
    theirs: /^EBADF$/,
    why: 'O_PATH is taken out of OPEN: Linux never sends it, and a handle that cannot be read is of no use.',
  },
  {
    peer: 'rust',
    where: /^writeback › create › READ .*errno$/,
    ours: /^ok$/,
    theirs: /^EBADF$/,
    why: 'With writeback a guest reads pages that it writes parts of, so what it opens for writing must be readable. virtiofsd sees to that in OPEN and forgets CREATE.',
  },
  {
    peer: 'rust',
    where: /› (read|write) at negative offsets › /,
    ours: /^EINVAL$/,
    theirs: SILENT,
    why: 'The thread of virtiofsd panics on an offset that does not fit into off_t.',
  },
  {
    peer: 'rust',
    where: /^malformed › /,
    ours: /^(EINVAL|ENOSYS)$/,
    theirs: SILENT,
    why: 'The thread of virtiofsd panics on a request that is cut short.',
  },
  {
    peer: 'rust',
    where: /› readdir(plus)? in pieces of each size › READDIR(PLUS)? .*errno$/,
    ours: /^EINVAL$/,
    theirs: /^ok$/,
    why: "Where not even one entry fits, an empty answer would say that the directory ends. getdents64(2) says EINVAL, and so does virtiofsd, but only when the host's entry, which is smaller, does not fit either.",
  },
];

const C: readonly Listed[] = [
  // --- what ends it ---
  {
    peer: 'c',
    where: /› an interrupt › the tree on the host › request$/,
    why: 'FUSE_INTERRUPT ends the C virtiofsd with SIGSEGV.',
  },
  {
    peer: 'c',
    where: /› more forgets than lookups › FORGET/,
    theirs: SILENT,
    why: 'A forget of more than was looked up ends the C virtiofsd by an assertion. We saturate, as the Rust virtiofsd does.',
  },
  {
    peer: 'c',
    where: /› create what exists › CREATE/,
    ours: /^ok$/,
    theirs: SILENT,
    why: "CREATE of what exists ends Debian's C virtiofsd: it opens with O_CREAT and no mode, which the C library refuses.",
  },
  {
    peer: 'c',
    where: /› opcodes that do not exist › /,
    why: 'FUSE_DESTROY of the C virtiofsd answers opcode 4096 (CUSE_INIT), after which it refuses everything with EIO.',
  },
  // --- what it knows ---
  {
    peer: 'c',
    where: /› INIT #0/,
    ours: /^(?!E)/,
    why: 'The C virtiofsd speaks FUSE 7.36, leaves the background limits to the kernel, wants bits of its own, and takes limits over from an earlier INIT.',
  },
  {
    peer: 'c',
    where: /› supplementary groups › /,
    why: 'FUSE_CREATE_SUPP_GROUP is younger than the C virtiofsd.',
  },
  {
    peer: 'c',
    where: /› access › ACCESS/,
    theirs: /^ENOSYS$/,
    why: 'ACCESS: the C virtiofsd leaves it to the guest.',
  },
  {
    peer: 'c',
    where: /› (a reboot without DESTROY|DESTROY) › /,
    why: 'An INIT of the C virtiofsd keeps open handles, and its node ids are used again. Ours are used once, as those of the Rust virtiofsd.',
  },
  // --- names ---
  {
    peer: 'c',
    where: /› lookup of names that are no names › LOOKUP/,
    ours: /^EINVAL$/,
    why: 'See the same line of the Rust virtiofsd.',
  },
  {
    peer: 'c',
    where: /› create › CREATE .*errno$/,
    ours: /^EINVAL$/,
    theirs: /^ENOENT$/,
    why: 'An empty name: see the same line of the Rust virtiofsd.',
  },
  {
    peer: 'c',
    where: /› lookup that cannot succeed › LOOKUP #99999/,
    ours: /^EBADF$/,
    theirs: /^ENOENT$/,
    why: 'An unknown parent: EBADF, as the Rust virtiofsd says.',
  },
  {
    peer: 'c',
    where: /› (UNLINK|RMDIR|RENAME2?) .*errno$/,
    theirs: /^EIO$/,
    why: 'The C virtiofsd says EIO when it cannot look up what is to be removed or moved; we pass the errno on.',
  },
  {
    peer: 'c',
    where: /› mknod › /,
    why: 'The C virtiofsd makes a directory by MKNOD; for us mknod(2) decides, which says EPERM.',
  },
  {
    peer: 'c',
    where: /› special files are not opened › OPENDIR/,
    ours: /^EBADF$/,
    theirs: /^ENOTDIR$/,
    why: 'Only regular files and directories are ever opened: EBADF, as the Rust virtiofsd says.',
  },
  {
    peer: 'c',
    where: /› rename2 and its flags › RENAME2 .*errno$/,
    ours: /^ok$/,
    theirs: /^EINVAL$/,
    why: 'Unknown RENAME2 flags are masked, as the Rust virtiofsd does.',
  },
  {
    peer: 'c',
    where: /› rename2 and its flags › the tree on the host › "[cy]"/,
    why: 'What follows from the line above.',
  },
  // --- open files ---
  {
    peer: 'c',
    where: /› open with each flag › (OPEN|READ) .*errno$/,
    why: 'Flags that Linux keeps to itself (O_DIRECTORY, O_TMPFILE, O_PATH): the C virtiofsd passes them on or refuses them.',
  },
  {
    peer: 'c',
    where: /› open with flags that a kernel keeps to itself › OPEN .*errno$/,
    ours: /^ok$/,
    theirs: /^EINVAL$/,
    why: 'As above, for O_CREAT and O_EXCL.',
  },
  {
    peer: 'c',
    where: /› (read at the edges|flush, fsync and release) › (READ|FSYNC|FLUSH) (dir|n2).*errno$/,
    ours: /^EBADF$/,
    theirs: /^ok$/,
    why: "A handle belongs to one node; the C virtiofsd does not look at the request's.",
  },
  {
    peer: 'c',
    where: /› release (twice|with the wrong node) › RELEASE .*errno$/,
    ours: /^EBADF$/,
    theirs: /^ok$/,
    why: 'A handle that is not there, or belongs to another node: EBADF, as the Rust virtiofsd says.',
  },
  {
    peer: 'c',
    where: /› read less room than asked for › READ .*errno$/,
    ours: /^ok$/,
    theirs: /^E2BIG$/,
    why: 'The C virtiofsd refuses a READ with less room than its size, even when the data would fit.',
  },
  {
    peer: 'c',
    where: /› (append › |create › READ .*bytes$|create › the tree on the host › "append")/,
    why: 'The C virtiofsd keeps O_APPEND on its descriptor, so cached writes land at the end, or with writeback drops it, so none do. We append where the request says so.',
  },
  {
    peer: 'c',
    where: /› truncate clears set-user-ID when asked to › /,
    ours: /06755/,
    theirs: /0755/,
    why: 'The C virtiofsd follows FUSE_WRITE_KILL_SUIDGID even where HANDLE_KILLPRIV_V2 was not agreed on.',
  },
  {
    peer: 'c',
    where: /› an ACL clears set-group-ID when asked to › /,
    ours: /^0?100670/,
    theirs: /^0?102670/,
    why: 'Asked by FUSE_SETXATTR_ACL_KILL_SGID, the C virtiofsd keeps the bit; we clear it, as the Rust virtiofsd does.',
  },
  // --- directories ---
  {
    peer: 'c',
    where: /› OPENDIR .*openFlags$/,
    ours: /^10$/,
    theirs: /^8$/,
    why: 'With cache=always, FOPEN_KEEP_CACHE goes with FOPEN_CACHE_DIR, as in the Rust virtiofsd.',
  },
  {
    peer: 'c',
    where: /› directory handles that are wrong › (OPENDIR|READDIR) .*errno$/,
    why: 'The C virtiofsd ignores the flags of OPENDIR, and reads any handle as a directory.',
  },
  {
    peer: 'c',
    where: /› readdir(plus)? in pieces of each size › READDIR.*errno$/,
    ours: /^ok$/,
    theirs: /^ENOMEM$/,
    why: 'A size of 0: the C virtiofsd takes a failed calloc(1, 0) for a lack of memory.',
  },
  {
    peer: 'c',
    where: /› readdir(plus)? in pieces of each size › READDIR.*errno$/,
    ours: /^EINVAL$/,
    theirs: /^ok$/,
    why: 'See the same line of the Rust virtiofsd.',
  },
  {
    peer: 'c',
    where: /› entries removed and added while reading › READDIRPLUS/,
    why: 'Entries that vanished meanwhile are left out; the C virtiofsd fails with ENOENT.',
  },
  {
    peer: 'c',
    where: /› READDIR(PLUS)? .*errno$/,
    ours: /^ENOENT$/,
    theirs: /^ok$/,
    why: 'The C virtiofsd takes what readdir(3) says of a removed directory, which is its end; getdents64(2) says ENOENT.',
  },
  {
    peer: 'c',
    where: /› offsets that no entry has › READDIR .*errno$/,
    ours: /^EINVAL$/,
    theirs: /^ok$/,
    why: 'seekdir(3) of the C virtiofsd cannot fail; lseek(2) can.',
  },
  // --- extended attributes ---
  {
    peer: 'c',
    where: /› (read|write) extended attributes › [A-Z]+XATTR .*errno$/,
    ours: /^ENOSYS$/,
    theirs: /^(EBADF|ENOTSUP)$/,
    why: 'Without extended attributes the answer is ENOSYS whatever is asked, so that the guest stops asking.',
  },
  {
    peer: 'c',
    where: /› read extended attributes › (GET|LIST)XATTR .*errno$/,
    ours: /^ENOMEM$/,
    why: 'More than 1 MiB is refused, as by the Rust virtiofsd.',
  },
  {
    peer: 'c',
    where: /› (read|write) extended attributes › [GS]ETXATTR .*errno$/,
    ours: /^ENOTSUP$/,
    theirs: /^(ERANGE|ENODATA|ok)$/,
    why: 'An empty name stands at the beginning of the names of ACLs, which are refused, as by the Rust virtiofsd.',
  },
  {
    peer: 'c',
    where: /^xattrmap › write extended attributes › LISTXATTR .*bytes$/,
    why: 'What follows from the line above: the C virtiofsd has made an attribute of the prefix alone.',
  },
];

export const DIFFERENCES: readonly Listed[] = [...RUST, ...C];
