// One workload on a mounted directory, timed as the program on the mount sees it.
// usage: workload NAME DIR COUNT; prints wall nanoseconds per operation.
// The tree: DIR/dNNN/fNNNNN, 100 files a directory; DIR/data, 256 MiB.

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

[[noreturn]] void die(const char* what) {
  perror(what);
  exit(1);
}

std::string name_of(const std::string& dir, int i) {
  char name[64];
  snprintf(name, sizeof name, "/d%03d/f%05d", i / 100, i);
  return dir + name;
}

int seen = 0;
int visit(const char*, const struct stat*, int, struct FTW*) {
  seen++;
  return 0;
}

constexpr size_t kData = 256u << 20;

struct Timer {
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  double per(size_t count) const {
    std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    return took.count() / count;
  }
};

double read_data(const std::string& dir, size_t size, bool random) {
  int fd = open((dir + "/data").c_str(), O_RDONLY);
  if (fd < 0) die("data");
  if (random) posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  std::vector<char> buffer(size);
  size_t blocks = kData / size;
  size_t count = random ? 16384 : blocks;
  unsigned state = 1;
  Timer timer;
  for (size_t i = 0; i < count; i++) {
    state = state * 1664525u + 1013904223u;
    off_t at = (random ? state % blocks : i) * size;
    if (pread(fd, buffer.data(), size, at) != (ssize_t)size) die("pread");
  }
  double ns = timer.per(count);
  close(fd);
  return ns;
}

double write_data(const std::string& dir, size_t size, bool random) {
  int fd = open((dir + "/written").c_str(), O_RDWR | O_CREAT, 0644);
  if (fd < 0) die("written");
  std::vector<char> buffer(size, 'x');
  size_t blocks = kData / size;
  size_t count = size == 4096 ? 16384 : blocks;
  unsigned state = 1;
  Timer timer;
  for (size_t i = 0; i < count; i++) {
    state = state * 1664525u + 1013904223u;
    off_t at = (random ? state % blocks : i) * size;
    if (pwrite(fd, buffer.data(), size, at) != (ssize_t)size) die("pwrite");
  }
  double ns = timer.per(count);
  close(fd);
  return ns;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::string what = argv[1], dir = argv[2];
  int count = atoi(argv[3]);
  double ns = 0;
  if (what == "stat") {
    struct stat st;
    Timer timer;
    for (int i = 0; i < count; i++) {
      if (lstat(name_of(dir, i).c_str(), &st) != 0) die("lstat");
    }
    ns = timer.per(count);
  } else if (what == "find") {
    Timer timer;
    if (nftw(dir.c_str(), visit, 32, FTW_PHYS) != 0) die("nftw");
    ns = timer.per(seen);
  } else if (what == "create") {
    mkdir((dir + "/new").c_str(), 0755);
    Timer timer;
    for (int i = 0; i < count; i++) {
      int fd = open((dir + "/new/" + std::to_string(i)).c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644);
      if (fd < 0) die("create");
      close(fd);
    }
    ns = timer.per(count);
  } else if (what == "unlink") {
    Timer timer;
    for (int i = 0; i < count; i++) {
      if (unlink((dir + "/new/" + std::to_string(i)).c_str()) != 0) die("unlink");
    }
    ns = timer.per(count);
    rmdir((dir + "/new").c_str());
  } else if (what == "open") {
    struct stat st;
    for (int i = 0; i < count; i++) lstat(name_of(dir, i).c_str(), &st);
    Timer timer;
    for (int i = 0; i < count; i++) {
      int fd = open(name_of(dir, i).c_str(), O_RDONLY);
      if (fd < 0) die("open");
      close(fd);
    }
    ns = timer.per(count);
  } else if (what == "read1m") ns = read_data(dir, 1 << 20, false);
  else if (what == "read4k") ns = read_data(dir, 4096, false);
  else if (what == "read4k-random") ns = read_data(dir, 4096, true);
  else if (what == "write1m") ns = write_data(dir, 1 << 20, false);
  else if (what == "write4k") ns = write_data(dir, 4096, false);
  else if (what == "write4k-random") ns = write_data(dir, 4096, true);
  else return 2;
  printf("%.1f\n", ns);
}
