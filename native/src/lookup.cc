// LOOKUP: from a parent and a name to an identity (statx) and a file handle.
#include <limits.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

#include "inode.h"
#include "state.h"

int openChild(State& state, int directory, const char* name) {
  constexpr int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  if (state.openat2Works) {
    struct open_how how = {};
    how.flags = flags;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const long fd = syscall(SYS_openat2, directory, name, &how, sizeof how);
    // EAGAIN: a rename raced with the scoped walk. EPERM: a seccomp filter of a container.
    if (fd >= 0 || (errno != ENOSYS && errno != EAGAIN && errno != EPERM)) {
      return static_cast<int>(fd);
    }
    if (errno != EAGAIN) state.openat2Works = false;
  }
  return openat(directory, name, flags);
}

namespace {

// The two calls of identify(), also apart, for a lookup that is stepped through.
int32_t examine(State& state, int32_t fd, int32_t record) {
  state.word(record + layout::kRecordErrno) = 0;
  struct statx* st = state.at<struct statx>(record + layout::kRecordStat);
  if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask, st) == 0) return 0;
  const int failure = errno;
  state.word(record + layout::kRecordErrno) = failure;
  return -failure;
}

// Returns the errno of name_to_handle_at, or 0.
int32_t nameHandle(State& state, int32_t fd, int32_t record) {
  auto* handle = state.at<struct file_handle>(record + layout::kRecordHandle);
  handle->handle_bytes = layout::kHandleBytes;
  int mount = 0;
  const int32_t failure =
      name_to_handle_at(fd, "", handle, &mount, AT_EMPTY_PATH) == 0 ? 0 : errno;
  state.word(record + layout::kRecordHandleMount) = mount;
  state.word(record + layout::kRecordHandleErrno) = failure;
  return failure;
}

}  // namespace

int32_t identify(State& state, int fd, int32_t record, int32_t flags) {
  const int32_t result = examine(state, fd, record);
  if (result < 0) return result;
  if (flags & layout::kWantHandle) {
    nameHandle(state, fd, record);
  } else {
    state.word(record + layout::kRecordHandleErrno) = -1;
  }
  return 0;
}

int32_t identifyAndKeep(State& state, int fd, int32_t record, int32_t flags) {
  const int32_t result = identify(state, fd, record, flags);
  const bool replaced = state.word(record + layout::kRecordHandleErrno) == 0;
  if (result < 0 || replaced) {
    close(fd);
    state.word(record + layout::kRecordFd) = -1;
  } else {
    state.word(record + layout::kRecordFd) = fd;
  }
  return result;
}

namespace {

int32_t lookUp(State& state, int32_t parentSlot, int32_t nameAt, int32_t flags, int32_t record) {
  OpenInode parent = OpenInode::path(state, parentSlot);
  if (parent.failed()) return -errno;
  const int fd = openChild(state, parent.fd(), state.at<const char>(nameAt));
  if (flags & layout::kKeepParent) {
    const int kept = errno;
    parent.leaveIn(state, parentSlot);
    errno = kept;
  }
  if (fd < 0) return -errno;
  return identifyAndKeep(state, fd, record, flags);
}

int32_t lookup(State& state, int32_t parentSlot, int32_t nameAt, int32_t flags, int32_t record) {
  const int32_t result = lookUp(state, parentSlot, nameAt, flags, record);
  state.word(record + layout::kRecordElapsed) = elapsedNs(state);
  return result;
}

// The first call of a lookup that is stepped through: an O_PATH descriptor of the name, or -errno.
int32_t openName(State& state, int32_t parentSlot, int32_t nameAt, int32_t flags) {
  OpenInode parent = OpenInode::path(state, parentSlot);
  if (parent.failed()) return -errno;
  const int fd = openChild(state, parent.fd(), state.at<const char>(nameAt));
  const int32_t result = fd < 0 ? -errno : fd;
  if (flags & layout::kKeepParent) parent.leaveIn(state, parentSlot);
  return result;
}

// An O_PATH descriptor of what an open descriptor is open on, or -errno.
int32_t reopenPath(State& state, int32_t fd) {
  char name[16];
  OpenInode::descriptorName(fd, name);
  return negated(openat(state.procSelfFd, name, O_PATH | O_CLOEXEC));
}

// Nanoseconds since the request at hand was received, at most 2^31 - 1.
int32_t elapsed(State& state) { return elapsedNs(state); }

// The identity that an entry's own reference gives now (a probe), without a name.
int32_t probe(State& state, int32_t slot, int32_t flags, int32_t record) {
  OpenInode inode = OpenInode::path(state, slot);
  if (inode.failed()) return -errno;
  state.word(record + layout::kRecordFd) = -1;
  return identify(state, inode.fd(), record, flags);
}

// Whether two descriptors stand for one inode of the kernel: 1, 0, or -1 when it cannot be told. An
// inode has at most one watch of an inotify instance, so that watching it again gives the same
// number (inotify_add_watch(2)). Nothing is opened, read or locked.
int sameInode(State& state, int a, int b) {
  const int watcher = inotify_init1(IN_CLOEXEC);
  if (watcher < 0) return -1;
  int first = -1;
  int second = -1;
  {
    InsideProcSelfFd here(state);
    if (!here.failed()) {
      char name[16];
      OpenInode::descriptorName(a, name);
      first = inotify_add_watch(watcher, name, IN_DELETE_SELF);
      OpenInode::descriptorName(b, name);
      second = inotify_add_watch(watcher, name, IN_DELETE_SELF | IN_MASK_ADD);
    }
  }
  close(watcher);
  return first < 0 || second < 0 ? -1 : first == second;
}

bool sameHandle(const struct file_handle* a, const struct file_handle* b) {
  return a->handle_bytes == b->handle_bytes && a->handle_type == b->handle_type &&
         memcmp(a->f_handle, b->f_handle, a->handle_bytes) == 0;
}

// STATX_SUBVOL is not in the headers of older distributions.
constexpr unsigned kSubvolume = 0x8000;
constexpr size_t kSubvolumeAt = 0xa0;

// Which fields of two answers of statx differ. What a file system does not tell does not differ.
int32_t statDifferences(const struct statx& a, const struct statx& b) {
  const unsigned both = a.stx_mask & b.stx_mask;
  int32_t found = 0;
  if (a.stx_ino != b.stx_ino) found |= layout::kDiffersIno;
  if (a.stx_dev_major != b.stx_dev_major || a.stx_dev_minor != b.stx_dev_minor) {
    found |= layout::kDiffersDev;
  }
  if (((a.stx_mode ^ b.stx_mode) & S_IFMT) != 0) found |= layout::kDiffersType;
  if (a.stx_nlink != b.stx_nlink) found |= layout::kDiffersNlink;
  if ((both & STATX_BTIME) != 0 && (a.stx_btime.tv_sec != b.stx_btime.tv_sec ||
                                    a.stx_btime.tv_nsec != b.stx_btime.tv_nsec)) {
    found |= layout::kDiffersBtime;
  }
  if ((both & kSubvolume) != 0 &&
      memcmp(reinterpret_cast<const uint8_t*>(&a) + kSubvolumeAt,
             reinterpret_cast<const uint8_t*>(&b) + kSubvolumeAt, sizeof(uint64_t)) != 0) {
    found |= layout::kDiffersSubvol;
  }
  return found;
}

// Whether the handles of what was found and of what is held differ. Without a handle in the asked
// record they are made for both where there is no birth time to tell a new file from an old one:
// FUSE and old NFS. (Elsewhere they stay unmade: on overlayfs that may copy directories up.)
int32_t handleDifference(State& state, int heldFd, int32_t asked, int32_t held) {
  auto* wanted = state.at<struct file_handle>(asked + layout::kRecordHandle);
  const int32_t known = state.word(asked + layout::kRecordHandleErrno);
  if (known > 0) return 0;
  if (known < 0) {
    const int fd = state.word(asked + layout::kRecordFd);
    if (fd < 0 || (state.at<struct statx>(asked + layout::kRecordStat)->stx_mask & STATX_BTIME)) {
      return 0;
    }
    wanted->handle_bytes = layout::kHandleBytes;
    int mount = 0;
    if (name_to_handle_at(fd, "", wanted, &mount, AT_EMPTY_PATH) != 0) return 0;
  }
  if (nameHandle(state, heldFd, held) != 0) return 0;
  const auto* now = state.at<struct file_handle>(held + layout::kRecordHandle);
  return sameHandle(wanted, now) ? 0 : layout::kDiffersHandle;
}

// Compares what an entry's own reference gives now with what a lookup has found: a mask of
// kDiffers..., or -errno. `asked` is the lookup's record; `held` is filled. The attributes that the
// kernel has at hand are enough: nothing is fetched from a server (AT_STATX_DONT_SYNC).
int32_t compare(State& state, int32_t slot, int32_t asked, int32_t flags, int32_t held) {
  const int32_t failedSlot = state.word(layout::kResultFailedSlot);
  OpenInode inode = OpenInode::path(state, slot);
  state.word(layout::kResultFailedSlot) = failedSlot;
  if (inode.failed()) return -errno;
  struct statx* st = state.at<struct statx>(held + layout::kRecordStat);
  if (statx(inode.fd(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, kStatxMask, st) != 0) {
    return -errno;
  }
  state.word(held + layout::kRecordFd) = -1;
  state.word(held + layout::kRecordHandleErrno) = -1;
  int32_t found = statDifferences(*state.at<struct statx>(asked + layout::kRecordStat), *st);
  const bool byDescriptor = state.at<InodeReference>(slot)->fd >= 0;
  if (byDescriptor) found |= handleDifference(state, inode.fd(), asked, held);
  const int askedFd = state.word(asked + layout::kRecordFd);
  if ((flags & layout::kCompareInodes) != 0 && byDescriptor && askedFd >= 0) {
    const int same = sameInode(state, inode.fd(), askedFd);
    if (same == 0) found |= layout::kDiffersInode;
    if (same < 0) found |= layout::kInodeUnknown;
  }
  return found;
}

// pathOf(slot): the path of an inode as the kernel knows it, as bytes, or -errno.
Napi::Value pathOf(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  State& state = *env.GetInstanceData<State>();
  if (state.scratch == nullptr) return Napi::Number::New(env, -EFAULT);
  // A failure here is none of the request at hand.
  const int32_t failedSlot = state.word(layout::kResultFailedSlot);
  OpenInode inode = OpenInode::path(state, info[0].As<Napi::Number>().Int32Value());
  state.word(layout::kResultFailedSlot) = failedSlot;
  if (inode.failed()) return Napi::Number::New(env, -errno);
  char name[16];
  OpenInode::descriptorName(inode.fd(), name);
  char path[PATH_MAX];
  const ssize_t length = readlinkat(state.procSelfFd, name, path, sizeof path);
  if (length < 0) return Napi::Number::New(env, -errno);
  return Napi::Buffer<char>::Copy(env, path, static_cast<size_t>(length));
}

}  // namespace

void defineLookup(Napi::Env env, Napi::Object exports, State* state) {
  defineHot<lookup>(env, exports, state, "lookup");
  defineHot<probe>(env, exports, state, "probe");
  defineHot<compare>(env, exports, state, "compare");
  defineHot<openName>(env, exports, state, "openName");
  defineHot<examine>(env, exports, state, "examine");
  defineHot<nameHandle>(env, exports, state, "nameHandle");
  defineHot<reopenPath>(env, exports, state, "reopenPath");
  defineHot<elapsed>(env, exports, state, "elapsed");
  exports.Set("pathOf", Napi::Function::New(env, pathOf));
}
