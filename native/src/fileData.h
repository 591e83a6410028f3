// Moving file data between a descriptor and memory of our own, whole.
#pragma once
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

// Reads until `size` bytes or the end of the file.
inline int32_t readAll(int fd, uint8_t* to, int32_t size, int64_t offset) {
  int32_t done = 0;
  while (done < size) {
    const ssize_t n = pread(fd, to + done, static_cast<size_t>(size - done), offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return done > 0 ? done : -errno;
    if (n == 0) break;
    done += static_cast<int32_t>(n);
  }
  return done;
}

// Writes all, or as much as the file takes. Returns the bytes written, or -errno when none were.
inline int32_t writeAll(int fd, const uint8_t* from, int32_t size, int64_t offset, int flags) {
  int32_t done = 0;
  while (done < size) {
    struct iovec piece = {const_cast<uint8_t*>(from) + done, static_cast<size_t>(size - done)};
    const ssize_t n = flags == 0 ? pwrite(fd, piece.iov_base, piece.iov_len, offset + done)
                                 : pwritev2(fd, &piece, 1, offset + done, flags);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return done > 0 ? done : -errno;
    if (n == 0) break;
    done += static_cast<int32_t>(n);
  }
  return done;
}
