// Extended attributes. f*xattr(2) does not take O_PATH descriptors. Regular files and directories
// are reopened; anything else must not be opened (a FIFO would block, a device would act), so the
// thread goes into /proc/self/fd (its own working directory, see prepareThread) and names the
// descriptor from there, as virtiofsd does.
#include <sys/xattr.h>

#include "inode.h"
#include "state.h"
#include "xattr.h"

namespace {

// Runs onFd(fd) on the reopened inode, or onPath(path) on its name below /proc/self/fd.
template <typename OnFd, typename OnPath>
int32_t withInode(State& state, int32_t slot, int32_t regular, OnFd onFd, OnPath onPath) {
  if (regular) {
    OpenInode inode = OpenInode::reopen(state, slot, O_RDONLY | O_NONBLOCK);
    if (inode.failed()) return -errno;
    return negated(onFd(inode.fd()));
  }
  OpenInode inode = OpenInode::path(state, slot);
  if (inode.failed()) return -errno;
  char name[16];
  OpenInode::descriptorName(inode.fd(), name);
  InsideProcSelfFd here(state);
  if (here.failed()) return -errno;
  return negated(onPath(name));
}

int32_t setXattr(State& state, int32_t slot, int32_t regular, int32_t nameAt, int32_t valueAt,
                 int32_t size, int32_t flags) {
  const char* name = state.at<const char>(nameAt);
  const void* value = state.at<const uint8_t>(valueAt);
  const size_t length = static_cast<size_t>(size);
  return withInode(
      state, slot, regular, [&](int fd) { return fsetxattr(fd, name, value, length, flags); },
      [&](const char* path) { return setxattr(path, name, value, length, flags); });
}

int32_t getXattr(State& state, int32_t slot, int32_t regular, int32_t nameAt, int32_t outAt,
                 int32_t size) {
  const char* name = state.at<const char>(nameAt);
  void* out = state.at<uint8_t>(outAt);
  const size_t length = static_cast<size_t>(size);
  return withInode(
      state, slot, regular, [&](int fd) { return fgetxattr(fd, name, out, length); },
      [&](const char* path) { return getxattr(path, name, out, length); });
}

int32_t listXattr(State& state, int32_t slot, int32_t regular, int32_t outAt, int32_t size) {
  char* out = state.at<char>(outAt);
  const size_t length = static_cast<size_t>(size);
  return withInode(
      state, slot, regular, [&](int fd) { return flistxattr(fd, out, length); },
      [&](const char* path) { return listxattr(path, out, length); });
}

int32_t removeXattr(State& state, int32_t slot, int32_t regular, int32_t nameAt) {
  const char* name = state.at<const char>(nameAt);
  return withInode(
      state, slot, regular, [&](int fd) { return fremovexattr(fd, name); },
      [&](const char* path) { return removexattr(path, name); });
}

}  // namespace

int setXattrOfPath(State& state, int fd, const char* name, const void* value, size_t size) {
  char path[16];
  OpenInode::descriptorName(fd, path);
  InsideProcSelfFd here(state);
  return here.failed() ? -1 : setxattr(path, name, value, size, 0);
}

void defineXattr(Napi::Env env, Napi::Object exports, State* state) {
  defineHot<setXattr>(env, exports, state, "setXattr");
  defineHot<getXattr>(env, exports, state, "getXattr");
  defineHot<listXattr>(env, exports, state, "listXattr");
  defineHot<removeXattr>(env, exports, state, "removeXattr");
}
