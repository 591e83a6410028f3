// Linked into the addon under test in place of munmap and mmap64, as which mmap is compiled (ld
// --wrap): what is mapped from a file, such as guest memory, lies between pages that nobody may touch.
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

enum { kGuard = 65536 };

void* __real_mmap64(void* at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void* at, size_t size);

void* __wrap_mmap64(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  if (fd < 0 || at != NULL || size > SIZE_MAX - 2 * kGuard) {
    return __real_mmap64(at, size, protection, flags, fd, offset);
  }
  char* around = __real_mmap64(NULL, size + 2 * kGuard, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (around == MAP_FAILED) return MAP_FAILED;
  void* mapped = __real_mmap64(around + kGuard, size, protection, flags | MAP_FIXED, fd, offset);
  if (mapped == MAP_FAILED) {
    const int failure = errno;
    __real_munmap(around, size + 2 * kGuard);
    errno = failure;
  }
  return mapped;
}

// Only what was mapped above is unmapped by the addon.
int __wrap_munmap(void* at, size_t size) {
  return __real_munmap((char*)at - kGuard, size + 2 * kGuard);
}
