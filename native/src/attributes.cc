// GETATTR, SETATTR, STATFS, READLINK.
#include <sys/statvfs.h>

#include "credentials.h"
#include "inode.h"
#include "state.h"

namespace {

int32_t statInto(State& state, int fd, int32_t record) {
  return negated(statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask,
                       state.at<struct statx>(record + layout::kRecordStat)));
}

int32_t getattr(State& state, int32_t slot, int32_t record) {
  OpenInode inode = OpenInode::path(state, slot);
  if (inode.failed()) return -errno;
  return statInto(state, inode.fd(), record);
}

// The body of FUSE_SETATTR (linux/fuse.h, struct fuse_setattr_in).
struct SetattrBody {
  uint32_t valid, padding;
  uint64_t fh, size, lockOwner, atime, mtime, ctime;
  uint32_t atimensec, mtimensec, ctimensec, mode, unused4, uid, gid, unused5;
};
static_assert(sizeof(SetattrBody) == 88);

enum : uint32_t {
  kMode = 1,
  kUid = 2,
  kGid = 4,
  kSize = 8,
  kAtime = 0x10,
  kMtime = 0x20,
  kAtimeNow = 0x80,
  kMtimeNow = 0x100,
  kKillSuidgid = 0x800,
};

// SETATTR in virtiofsd's order: mode, owner, size, times; then the attributes as they are now.
// fh is the descriptor of the open file that the caller named, or -1.
int32_t setattr(State& state, int32_t slot, int32_t fh, int32_t bodyAt, int32_t record) {
  SetattrBody body;
  memcpy(&body, state.at<uint8_t>(bodyAt), sizeof body);
  OpenInode inode = OpenInode::path(state, slot);
  if (inode.failed()) return -errno;
  // chmod and utimensat do not take O_PATH descriptors: through /proc/self/fd instead.
  char name[16];
  OpenInode::descriptorName(inode.fd(), name);
  if (body.valid & kMode) {
    const int result = fh >= 0 ? fchmod(fh, body.mode) : fchmodat(state.procSelfFd, name, body.mode, 0);
    if (result < 0) return -errno;
  }
  if (body.valid & (kUid | kGid)) {
    const uid_t uid = body.valid & kUid ? body.uid : static_cast<uid_t>(-1);
    const gid_t gid = body.valid & kGid ? body.gid : static_cast<gid_t>(-1);
    if (fchownat(inode.fd(), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0) return -errno;
  }
  if (body.valid & kSize) {
    WithoutFsetid plain((body.valid & kKillSuidgid) != 0);
    if (plain.failure() != 0) return -plain.failure();
    if (fh >= 0) {
      if (ftruncate(fh, static_cast<off_t>(body.size)) < 0) return -errno;
    } else {
      // O_NONBLOCK: never wait for a lease or a FIFO's other end.
      OpenInode file = OpenInode::reopen(state, slot, O_NONBLOCK | O_RDWR);
      if (file.failed()) return -errno;
      if (ftruncate(file.fd(), static_cast<off_t>(body.size)) < 0) return -errno;
    }
  }
  if (body.valid & (kAtime | kMtime)) {
    struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    if (body.valid & kAtimeNow) {
      times[0].tv_nsec = UTIME_NOW;
    } else if (body.valid & kAtime) {
      times[0] = {static_cast<time_t>(body.atime), static_cast<long>(body.atimensec)};
    }
    if (body.valid & kMtimeNow) {
      times[1].tv_nsec = UTIME_NOW;
    } else if (body.valid & kMtime) {
      times[1] = {static_cast<time_t>(body.mtime), static_cast<long>(body.mtimensec)};
    }
    const int result =
        fh >= 0 ? futimens(fh, times) : utimensat(state.procSelfFd, name, times, 0);
    if (result < 0) return -errno;
  }
  return statInto(state, inode.fd(), record);
}

// Takes the set-group-id bit off an inode.
int32_t clearSgid(State& state, int32_t slot) {
  OpenInode inode = OpenInode::path(state, slot);
  if (inode.failed()) return -errno;
  struct stat st;
  if (fstat(inode.fd(), &st) < 0) return -errno;
  char name[16];
  OpenInode::descriptorName(inode.fd(), name);
  const mode_t mode = st.st_mode & 07777 & ~static_cast<mode_t>(S_ISGID);
  return negated(fchmodat(state.procSelfFd, name, mode, 0));
}

// Writes struct fuse_kstatfs (80 bytes).
int32_t statfsInto(State& state, int32_t slot, int32_t outAt) {
  OpenInode inode = OpenInode::path(state, slot);
  if (inode.failed()) return -errno;
  struct statvfs fs;
  if (fstatvfs(inode.fd(), &fs) < 0) return -errno;
  memset(state.at<uint8_t>(outAt), 0, 80);
  uint64_t* wide = state.at<uint64_t>(outAt);
  const uint64_t counts[5] = {fs.f_blocks, fs.f_bfree, fs.f_bavail, fs.f_files, fs.f_ffree};
  memcpy(wide, counts, sizeof counts);
  uint32_t* narrow = state.at<uint32_t>(outAt + 40);
  narrow[0] = static_cast<uint32_t>(fs.f_bsize);
  narrow[1] = static_cast<uint32_t>(fs.f_namemax);
  narrow[2] = static_cast<uint32_t>(fs.f_frsize);
  return 0;
}

int32_t readlinkInto(State& state, int32_t slot, int32_t outAt, int32_t size) {
  OpenInode inode = OpenInode::path(state, slot);
  if (inode.failed()) return -errno;
  return negated(readlinkat(inode.fd(), "", state.at<char>(outAt), static_cast<size_t>(size)));
}

}  // namespace

void defineAttributes(Napi::Env env, Napi::Object exports, State* state) {
  defineHot<getattr>(env, exports, state, "getattr");
  defineHot<setattr>(env, exports, state, "setattr");
  defineHot<clearSgid>(env, exports, state, "clearSgid");
  defineHot<statfsInto>(env, exports, state, "statfs");
  defineHot<readlinkInto>(env, exports, state, "readlink");
}
