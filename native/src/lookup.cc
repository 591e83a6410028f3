// LOOKUP: from a parent and a name to an identity (statx) and a file handle.
#include <limits.h>
#include <linux/openat2.h>
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
  defineHot<openName>(env, exports, state, "openName");
  defineHot<examine>(env, exports, state, "examine");
  defineHot<nameHandle>(env, exports, state, "nameHandle");
  defineHot<reopenPath>(env, exports, state, "reopenPath");
  defineHot<elapsed>(env, exports, state, "elapsed");
  exports.Set("pathOf", Napi::Function::New(env, pathOf));
}
