// Operations on names: CREATE, MKNOD, MKDIR, SYMLINK, LINK, UNLINK, RMDIR, RENAME.
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "credentials.h"
#include "inode.h"
#include "state.h"
#include "xattr.h"

namespace {

// The security context at MAKING, which the guest's kernel computed for a new object.
struct SecurityContext {
  explicit SecurityContext(State& state) {
    const int32_t* words = state.at<const int32_t>(layout::kMakingContext);
    if (words[0] == 0) return;
    name = state.at<const char>(words[0]);
    value = state.at<const uint8_t>(words[1]);
    size = static_cast<size_t>(words[2]);
  }
  const char* name = nullptr;  // of the attribute; null: none was sent
  const void* value = nullptr;
  size_t size = 0;
};

// What could not be labelled must not stay: takes the name away and leaves errno as it was.
int32_t takenBack(int parent, const char* name, int flags) {
  const int failure = errno;
  unlinkat(parent, name, flags);
  return -failure;
}

// CREATE: makes the file as the caller (O_CREAT|O_EXCL, as virtiofsd's create does) and
// identifies it through the new descriptor, so that nobody can put another file under the name in
// between. The open descriptor stands in RESULT_OPEN_FD.
int32_t create(State& state, int32_t parentSlot, int32_t nameAt, int32_t flags, int32_t mode,
               int32_t lookupFlags, int32_t record) {
  state.word(layout::kResultOpenFd) = -1;
  OpenInode parent = OpenInode::path(state, parentSlot);
  if (parent.failed()) return -errno;
  int fd;
  {
    CredentialSwitch caller(state);
    if (caller.failure() != 0) return -caller.failure();
    fd = openat(parent.fd(), state.at<const char>(nameAt),
                flags | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, static_cast<mode_t>(mode));
  }
  if (fd < 0) return -errno;
  const SecurityContext context(state);
  if (context.name != nullptr && fsetxattr(fd, context.name, context.value, context.size, 0) < 0) {
    const int32_t failure = takenBack(parent.fd(), state.at<const char>(nameAt), 0);
    close(fd);
    return failure;
  }
  state.word(record + layout::kRecordFd) = -1;
  int32_t result = identify(state, fd, record, lookupFlags);
  const bool needsPath = state.word(record + layout::kRecordHandleErrno) != 0;
  if (result == 0 && needsPath) {
    char name[16];
    OpenInode::descriptorName(fd, name);
    const int path = openat(state.procSelfFd, name, O_PATH | O_CLOEXEC);
    if (path < 0) {
      result = -errno;
    } else {
      state.word(record + layout::kRecordFd) = path;
    }
  }
  state.word(record + layout::kRecordElapsed) = elapsedNs(state);
  if (result < 0) {
    close(fd);
    return result;
  }
  state.word(layout::kResultOpenFd) = fd;
  return 0;
}

int32_t identifyName(State& state, int parent, const char* name, int32_t flags, int32_t record) {
  const int fd = openChild(state, parent, name);
  const int32_t result = fd < 0 ? -errno : identifyAndKeep(state, fd, record, flags);
  state.word(record + layout::kRecordElapsed) = elapsedNs(state);
  return result;
}

// The same for what was just made: labels it first. removeFlags: how it is taken back.
int32_t labelAndIdentify(State& state, int parent, const char* name, int removeFlags,
                         int32_t flags, int32_t record) {
  const SecurityContext context(state);
  if (context.name != nullptr) {
    const int fd = openChild(state, parent, name);
    if (fd < 0) return takenBack(parent, name, removeFlags);
    const int result = setXattrOfPath(state, fd, context.name, context.value, context.size);
    const int32_t failure = result < 0 ? takenBack(parent, name, removeFlags) : 0;
    close(fd);
    if (failure < 0) return failure;
  }
  return identifyName(state, parent, name, flags, record);
}

int32_t makeNode(State& state, int32_t parentSlot, int32_t nameAt, int32_t mode, int32_t rdev,
                 int32_t lookupFlags, int32_t record) {
  OpenInode parent = OpenInode::path(state, parentSlot);
  if (parent.failed()) return -errno;
  const char* name = state.at<const char>(nameAt);
  {
    CredentialSwitch caller(state);
    if (caller.failure() != 0) return -caller.failure();
    // FUSE carries the kernel's 32-bit encoding of the device number, and so does the system call;
    // glibc's mknod would encode its own.
    if (syscall(SYS_mknodat, parent.fd(), name, static_cast<mode_t>(mode),
                static_cast<uint32_t>(rdev)) < 0) {
      return -errno;
    }
  }
  return labelAndIdentify(state, parent.fd(), name, 0, lookupFlags, record);
}

int32_t makeDirectory(State& state, int32_t parentSlot, int32_t nameAt, int32_t mode,
                      int32_t lookupFlags, int32_t record) {
  OpenInode parent = OpenInode::path(state, parentSlot);
  if (parent.failed()) return -errno;
  const char* name = state.at<const char>(nameAt);
  {
    CredentialSwitch caller(state);
    if (caller.failure() != 0) return -caller.failure();
    if (mkdirat(parent.fd(), name, static_cast<mode_t>(mode)) < 0) return -errno;
  }
  return labelAndIdentify(state, parent.fd(), name, AT_REMOVEDIR, lookupFlags, record);
}

int32_t makeSymlink(State& state, int32_t parentSlot, int32_t nameAt, int32_t targetAt,
                    int32_t lookupFlags, int32_t record) {
  OpenInode parent = OpenInode::path(state, parentSlot);
  if (parent.failed()) return -errno;
  const char* name = state.at<const char>(nameAt);
  {
    CredentialSwitch caller(state);
    if (caller.failure() != 0) return -caller.failure();
    if (symlinkat(state.at<const char>(targetAt), parent.fd(), name) < 0) return -errno;
  }
  return labelAndIdentify(state, parent.fd(), name, 0, lookupFlags, record);
}

int32_t makeLink(State& state, int32_t slot, int32_t parentSlot, int32_t nameAt,
                 int32_t lookupFlags, int32_t record) {
  OpenInode inode = OpenInode::path(state, slot);
  if (inode.failed()) return -errno;
  OpenInode parent = OpenInode::path(state, parentSlot);
  if (parent.failed()) return -errno;
  const char* name = state.at<const char>(nameAt);
  char source[16];
  OpenInode::descriptorName(inode.fd(), source);
  if (linkat(state.procSelfFd, source, parent.fd(), name, AT_SYMLINK_FOLLOW) < 0) return -errno;
  return identifyName(state, parent.fd(), name, lookupFlags, record);
}

// closeParent: 1 when the slot's descriptor was left there by a lookup with KEEP_PARENT.
int32_t removeName(State& state, int32_t parentSlot, int32_t nameAt, int32_t flags,
                   int32_t closeParent) {
  OpenInode parent = OpenInode::path(state, parentSlot);
  if (parent.failed()) return -errno;
  const int32_t result = negated(unlinkat(parent.fd(), state.at<const char>(nameAt), flags));
  if (closeParent) close(parent.fd());
  return result;
}

int32_t renameName(State& state, int32_t fromSlot, int32_t fromAt, int32_t toSlot, int32_t toAt,
                   int32_t flags) {
  OpenInode from = OpenInode::path(state, fromSlot);
  if (from.failed()) return -errno;
  OpenInode to = OpenInode::path(state, toSlot);
  if (to.failed()) return -errno;
  return negated(renameat2(from.fd(), state.at<const char>(fromAt), to.fd(),
                           state.at<const char>(toAt), static_cast<unsigned>(flags)));
}

}  // namespace

void defineNames(Napi::Env env, Napi::Object exports, State* state) {
  defineHot<create>(env, exports, state, "create");
  defineHot<makeNode>(env, exports, state, "makeNode");
  defineHot<makeDirectory>(env, exports, state, "makeDirectory");
  defineHot<makeSymlink>(env, exports, state, "makeSymlink");
  defineHot<makeLink>(env, exports, state, "makeLink");
  defineHot<removeName>(env, exports, state, "removeName");
  defineHot<renameName>(env, exports, state, "renameName");
}
