// How an operation reaches an inode: through a held O_PATH descriptor or through a file handle.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state.h"

struct InodeReference {
  int32_t fd;       // >= 0: this O_PATH descriptor
  int32_t mountFd;  // else open_by_handle_at(mountFd, handle)
  uint32_t handleBytes;
  int32_t handleType;
  uint8_t handle[layout::kHandleBytes];
};

// A descriptor that is closed at the end of the call unless it is only borrowed from the tables.
class OpenInode {
 public:
  // Borrows the held descriptor or opens the handle with O_PATH. A failure is noted in RESULT so
  // that the caller can tell "the handle is stale" from an error of the operation itself.
  static OpenInode path(State& state, int32_t slot) {
    const InodeReference* reference = state.at<InodeReference>(slot);
    if (reference->fd >= 0) return OpenInode(reference->fd, false);
    return OpenInode(byHandle(state, slot, O_PATH | O_CLOEXEC), true);
  }

  // Opens the inode itself, for reading, writing or listing.
  static OpenInode reopen(State& state, int32_t slot, int flags) {
    return OpenInode(openFd(state, slot, flags), true);
  }

  static int openFd(State& state, int32_t slot, int flags) {
    const InodeReference* reference = state.at<InodeReference>(slot);
    flags |= O_CLOEXEC;
    if (reference->fd < 0) return byHandle(state, slot, flags);
    char name[16];
    descriptorName(reference->fd, name);
    // /proc/self/fd/N is a magic link: O_NOFOLLOW would refuse to follow it.
    return openat(state.procSelfFd, name, flags & ~O_NOFOLLOW);
  }

  static void descriptorName(int fd, char (&out)[16]) {
    char digits[16];
    int n = 0;
    unsigned value = static_cast<unsigned>(fd);
    do {
      digits[n++] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    for (int i = 0; i < n; i++) out[i] = digits[n - 1 - i];
    out[n] = 0;
  }

  OpenInode(const OpenInode&) = delete;
  OpenInode& operator=(const OpenInode&) = delete;
  OpenInode(OpenInode&& other) noexcept : fd_(other.fd_), owned_(other.owned_) {
    other.owned_ = false;
  }
  ~OpenInode() {
    if (owned_ && fd_ >= 0) {
      const int kept = errno;
      ::close(fd_);
      errno = kept;
    }
  }

  // Hands an owned descriptor to the slot: later calls borrow it, and whoever asked closes it.
  void leaveIn(State& state, int32_t slot) {
    if (!owned_ || fd_ < 0) return;
    state.at<InodeReference>(slot)->fd = fd_;
    owned_ = false;
  }

  bool failed() const { return fd_ < 0; }
  int fd() const { return fd_; }

 private:
  OpenInode(int fd, bool owned) : fd_(fd), owned_(owned) {}

  static int byHandle(State& state, int32_t slot, int flags) {
    InodeReference* reference = state.at<InodeReference>(slot);
    const int fd = open_by_handle_at(
        reference->mountFd, reinterpret_cast<struct file_handle*>(&reference->handleBytes), flags);
    if (fd < 0) state.word(layout::kResultFailedSlot) = slot;
    return fd;
  }

  int fd_;
  bool owned_;
};

// The thread's working directory is /proc/self/fd while this lives, so that a descriptor has a name
// there; also where that path cannot be reached.
class InsideProcSelfFd {
 public:
  explicit InsideProcSelfFd(State& state) : entered_(fchdir(state.procSelfFd) == 0) {}
  ~InsideProcSelfFd() {
    if (!entered_) return;
    const int kept = errno;
    // The thread's working directory is used for nothing else; "/" always exists.
    [[maybe_unused]] const int left = chdir("/");
    errno = kept;
  }
  bool failed() const { return !entered_; }

 private:
  bool entered_;
};

// Fills the identity record at `record` from an O_PATH (or any other) descriptor.
// Returns 0 or -errno; leaves the descriptor to the caller.
int32_t identify(State& state, int fd, int32_t record, int32_t flags);

// identify() and then hand the descriptor over: it stays open in the record unless a handle
// replaces it.
int32_t identifyAndKeep(State& state, int fd, int32_t record, int32_t flags);

// openat for one name below a directory, as lookups do it.
int openChild(State& state, int directory, const char* name);

constexpr unsigned kStatxMask = 0x7ffu | 0x800u | 0x1000u | 0x8000u;  // BASIC, BTIME, MNT_ID, SUBVOL
