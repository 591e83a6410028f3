// LOOKUP: from a parent and a name to an identity (statx) and a file handle.
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

int32_t identify(State& state, int fd, int32_t record, int32_t flags) {
  state.word(record + layout::kRecordErrno) = 0;
  struct statx* st = state.at<struct statx>(record + layout::kRecordStat);
  if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask, st) < 0) {
    const int failure = errno;
    state.word(record + layout::kRecordErrno) = failure;
    return -failure;
  }
  int32_t handleErrno = -1;
  if (flags & layout::kWantHandle) {
    auto* handle = state.at<struct file_handle>(record + layout::kRecordHandle);
    handle->handle_bytes = layout::kHandleBytes;
    int mount = 0;
    handleErrno = name_to_handle_at(fd, "", handle, &mount, AT_EMPTY_PATH) == 0 ? 0 : errno;
    state.word(record + layout::kRecordHandleMount) = mount;
  }
  state.word(record + layout::kRecordHandleErrno) = handleErrno;
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

// The identity that an entry's own reference gives now (a probe), without a name.
int32_t probe(State& state, int32_t slot, int32_t flags, int32_t record) {
  OpenInode inode = OpenInode::path(state, slot);
  if (inode.failed()) return -errno;
  state.word(record + layout::kRecordFd) = -1;
  return identify(state, inode.fd(), record, flags);
}

}  // namespace

void defineLookup(Napi::Env env, Napi::Object exports, State* state) {
  defineHot<lookup>(env, exports, state, "lookup");
  defineHot<probe>(env, exports, state, "probe");
}
