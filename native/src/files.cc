// Open files: OPEN, WRITE, FSYNC, FLUSH, FALLOCATE, LSEEK, COPY_FILE_RANGE, SYNCFS.
// (READ is in session.cc, because it answers by itself.)
#include <sys/uio.h>

#include "inode.h"
#include "state.h"

namespace {

int64_t wide(State& state, int32_t at) {
  int64_t value;
  memcpy(&value, state.scratch + at, sizeof value);
  return value;
}

int32_t openInode(State& state, int32_t slot, int32_t flags) {
  return negated(OpenInode::openFd(state, slot, flags));
}

int32_t closeFd(State&, int32_t fd) { return negated(close(fd)); }

// close(dup(fd)): what makes a file system flush without giving up the descriptor.
int32_t flush(State&, int32_t fd) {
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return -errno;
  return negated(close(copy));
}

int32_t fsyncFd(State&, int32_t fd, int32_t dataOnly) {
  return negated(dataOnly ? fdatasync(fd) : fsync(fd));
}

int32_t fallocateFd(State& state, int32_t fd, int32_t mode, int32_t offsetAt, int32_t lengthAt) {
  return negated(fallocate(fd, mode, wide(state, offsetAt), wide(state, lengthAt)));
}

// The new offset stands in RESULT_WIDE.
int32_t lseekFd(State& state, int32_t fd, int32_t offsetAt, int32_t whence) {
  const off_t found = lseek(fd, wide(state, offsetAt), whence);
  if (found < 0) return -errno;
  *state.at<int64_t>(layout::kResultWide) = found;
  return 0;
}

int32_t copyFileRange(State& state, int32_t fdIn, int32_t offsetInAt, int32_t fdOut,
                      int32_t offsetOutAt, int32_t lengthAt, int32_t flags) {
  off64_t in = wide(state, offsetInAt);
  off64_t out = wide(state, offsetOutAt);
  uint64_t length = static_cast<uint64_t>(wide(state, lengthAt));
  // The reply's size is 32 bits wide.
  constexpr uint64_t most = 1u << 30;
  if (length > most) length = most;
  return negated(copy_file_range(fdIn, &in, fdOut, &out, length, static_cast<unsigned>(flags)));
}

int32_t syncFileSystem(State& state, int32_t slot) {
  OpenInode inode = OpenInode::reopen(state, slot, O_RDONLY | O_NOFOLLOW);
  if (inode.failed()) return -errno;
  return negated(syncfs(inode.fd()));
}

}  // namespace

void defineFiles(Napi::Env env, Napi::Object exports, State* state) {
  defineHot<openInode>(env, exports, state, "open");
  defineHot<closeFd>(env, exports, state, "close");
  defineHot<flush>(env, exports, state, "flush");
  defineHot<fsyncFd>(env, exports, state, "fsync");
  defineHot<fallocateFd>(env, exports, state, "fallocate");
  defineHot<lseekFd>(env, exports, state, "lseek");
  defineHot<copyFileRange>(env, exports, state, "copyFileRange");
  defineHot<syncFileSystem>(env, exports, state, "syncfs");
}
