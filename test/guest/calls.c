/*
 * System calls of a file system that shell programs seldom make, in the current directory. Says
 * which expectation failed, and ends with status 1 then.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define EXPECT(condition)                                                         \
  do {                                                                            \
    if (!(condition)) {                                                           \
      printf("line %d: %s (%s)\n", __LINE__, #condition, strerror(errno));        \
      exit(1);                                                                    \
    }                                                                             \
  } while (0)

#define REFUSED(call, number) EXPECT((call) == -1 && errno == (number))

static void fill(const char *name, const char *text) {
  int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  EXPECT(fd >= 0);
  EXPECT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
  EXPECT(close(fd) == 0);
}

static int holds(int fd, const char *text) {
  char buffer[256] = {0};
  return pread(fd, buffer, sizeof(buffer) - 1, 0) == (ssize_t)strlen(text) &&
         strcmp(buffer, text) == 0;
}

static void namesOfOpenFiles(void) {
  struct stat status;
  fill("old", "old\n");
  fill("new", "new\n");
  int fd = open("old", O_RDWR);
  EXPECT(fd >= 0);
  EXPECT(rename("new", "old") == 0);
  EXPECT(holds(fd, "old\n"));
  EXPECT(fstat(fd, &status) == 0 && status.st_nlink == 0);
  int second = open("old", O_RDWR);
  EXPECT(holds(second, "new\n"));

  EXPECT(unlink("old") == 0);
  EXPECT(pwrite(second, "NEW", 3, 0) == 3 && holds(second, "NEW\n"));
  EXPECT(ftruncate(second, 2) == 0 && holds(second, "NE"));
  EXPECT(fchmod(second, 0600) == 0 && fsync(second) == 0);
  EXPECT(fstat(second, &status) == 0 && status.st_nlink == 0 && status.st_size == 2);
  REFUSED(open("old", O_RDONLY), ENOENT);
  EXPECT(close(fd) == 0 && close(second) == 0);

  fill("a", "a");
  fill("b", "b");
  EXPECT(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE) == 0);
  REFUSED(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
  fd = open("a", O_RDONLY);
  EXPECT(holds(fd, "b") && close(fd) == 0);
  EXPECT(link("a", "c") == 0 && stat("a", &status) == 0 && status.st_nlink == 2);
  EXPECT(unlink("c") == 0 && stat("a", &status) == 0 && status.st_nlink == 1);

  char name[257];
  memset(name, 'n', sizeof(name));
  name[256] = 0;
  REFUSED(open(name, O_WRONLY | O_CREAT, 0644), ENAMETOOLONG);
  name[255] = 0;
  fill(name, "long");
  EXPECT(unlink(name) == 0);
}

static void mappings(void) {
  size_t size = 3 * 4096 + 10;
  int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0644);
  EXPECT(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
  char *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  EXPECT(shared != MAP_FAILED);
  for (size_t at = 0; at < size; at++) shared[at] = (char)('a' + at % 23);
  EXPECT(msync(shared, size, MS_SYNC) == 0);
  char *other = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  EXPECT(other != MAP_FAILED && memcmp(shared, other, size) == 0);
  other[0] = '!';
  EXPECT(shared[0] == 'a');
  EXPECT(pwrite(fd, "written", 7, 4090) == 7 && memcmp(shared + 4090, "written", 7) == 0);
  EXPECT(munmap(shared, size) == 0 && munmap(other, size) == 0 && close(fd) == 0);
}

/* Two processes append at the same time: no line is lost or torn. */
static void appending(void) {
  enum { kLines = 100 };
  for (char who = 'x'; who <= 'y'; who++) {
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child > 0) continue;
    int fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0644);
    char line[8];
    memset(line, who, sizeof(line));
    line[7] = '\n';
    for (int i = 0; i < kLines; i++) EXPECT(write(fd, line, sizeof(line)) == sizeof(line));
    exit(0);
  }
  int status;
  while (wait(&status) > 0) EXPECT(status == 0);
  FILE *log = fopen("log", "r");
  char line[64];
  int count = 0;
  while (fgets(line, sizeof(line), log) != NULL) {
    count++;
    EXPECT(strcmp(line, "xxxxxxx\n") == 0 || strcmp(line, "yyyyyyy\n") == 0);
  }
  EXPECT(count == 2 * kLines && fclose(log) == 0);
}

static void holes(void) {
  struct stat status;
  int fd = open("sparse", O_RDWR | O_CREAT | O_TRUNC, 0644);
  EXPECT(ftruncate(fd, 1 << 20) == 0 && pwrite(fd, "data", 4, 512 << 10) == 4);
  EXPECT(fsync(fd) == 0);
  EXPECT(lseek(fd, 0, SEEK_DATA) == 512 << 10);
  EXPECT(lseek(fd, 512 << 10, SEEK_HOLE) > 512 << 10);
  EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 512 << 10, 4096) == 0);
  char bytes[4] = "????";
  EXPECT(pread(fd, bytes, 4, 512 << 10) == 4 && memcmp(bytes, "\0\0\0\0", 4) == 0);
  EXPECT(fallocate(fd, 0, 0, 2 << 20) == 0);
  EXPECT(fstat(fd, &status) == 0 && status.st_size == 2 << 20);
  EXPECT(pwrite(fd, "copy me", 7, 0) == 7);
  int copy = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0644);
  loff_t from = 0, to = 0;
  EXPECT(copy_file_range(fd, &from, copy, &to, 7, 0) == 7);
  EXPECT(holds(copy, "copy me") && close(fd) == 0 && close(copy) == 0);
}

static void attributes(void) {
  struct stat status;
  fill("file", "x");
  struct timespec times[2] = {{1000000001, 123456789}, {1000000002, 987654321}};
  EXPECT(utimensat(AT_FDCWD, "file", times, 0) == 0 && stat("file", &status) == 0);
  EXPECT(status.st_mtim.tv_sec == 1000000002 && status.st_mtim.tv_nsec == 987654321);
  EXPECT(status.st_atim.tv_sec == 1000000001 && status.st_atim.tv_nsec == 123456789);
  EXPECT(chmod("file", 04751) == 0 && chown("file", 1234, 5678) == 0);
  EXPECT(stat("file", &status) == 0 && status.st_uid == 1234 && status.st_gid == 5678);
  EXPECT((status.st_mode & 07777) == 0751); /* chown(2): a regular file loses its set-user-ID bit */
  EXPECT(symlink("to nowhere", "link") == 0);
  char target[32] = {0};
  EXPECT(readlink("link", target, sizeof(target)) == 10 && strcmp(target, "to nowhere") == 0);
  EXPECT(mkfifo("fifo", 0644) == 0 && stat("fifo", &status) == 0 && S_ISFIFO(status.st_mode));

  static char value[2000], back[2000];
  memset(value, 'v', sizeof(value));
  EXPECT(setxattr("file", "user.large", value, sizeof(value), XATTR_CREATE) == 0);
  REFUSED(setxattr("file", "user.large", "", 0, XATTR_CREATE), EEXIST);
  EXPECT(getxattr("file", "user.large", back, sizeof(back)) == sizeof(back));
  EXPECT(memcmp(value, back, sizeof(back)) == 0);
  REFUSED(getxattr("file", "user.large", back, 10), ERANGE);
  char list[64];
  EXPECT(listxattr("file", list, sizeof(list)) == 11 && strcmp(list, "user.large") == 0);
  EXPECT(removexattr("file", "user.large") == 0);
  REFUSED(getxattr("file", "user.large", back, sizeof(back)), ENODATA);
}

/* Locks stay in the guest, but they must hold between its processes. */
static void locks(void) {
  int fd = open("locked", O_RDWR | O_CREAT, 0644);
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  EXPECT(flock(fd, LOCK_EX) == 0 && fcntl(fd, F_SETLK, &whole) == 0);
  pid_t child = fork();
  if (child == 0) {
    int second = open("locked", O_RDWR);
    REFUSED(flock(second, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    REFUSED(fcntl(second, F_SETLK, &whole), EAGAIN);
    exit(0);
  }
  int status;
  EXPECT(waitpid(child, &status, 0) == child && status == 0 && close(fd) == 0);
}

/* A directory that is emptied while it is read, as rm -r does, and positions in it. */
static void directories(void) {
  enum { kFiles = 300 };
  EXPECT(mkdir("many", 0755) == 0 && chdir("many") == 0);
  char name[32];
  for (int i = 0; i < kFiles; i++) {
    snprintf(name, sizeof(name), "a name of some length %d", i);
    fill(name, "");
  }
  DIR *stream = opendir(".");
  EXPECT(stream != NULL);
  long middle = 0;
  char after[256] = "";
  int count = 0;
  for (struct dirent *entry; (entry = readdir(stream)) != NULL; count++) {
    if (count == 150) middle = telldir(stream);
    if (count == 151) strcpy(after, entry->d_name);
  }
  EXPECT(count == kFiles + 2);
  seekdir(stream, middle);
  EXPECT(strcmp(readdir(stream)->d_name, after) == 0);
  rewinddir(stream);
  for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
    if (entry->d_name[0] != '.') EXPECT(unlink(entry->d_name) == 0);
  }
  EXPECT(closedir(stream) == 0 && chdir("..") == 0 && rmdir("many") == 0);
  int fd = open(".", O_RDONLY | O_DIRECTORY);
  EXPECT(fsync(fd) == 0);
  /*
   * With the writeback cache Linux still wants to write the times of files that are gone; without a
   * descriptor of them a daemon has to say ESTALE (fs/fuse/inode.c, fuse_write_inode).
   */
  EXPECT((syncfs(fd) == 0 || errno == ESTALE) && close(fd) == 0);
}

int main(void) {
  umask(0);
  namesOfOpenFiles();
  mappings();
  appending();
  holes();
  attributes();
  locks();
  directories();
  puts("all as expected");
  return 0;
}
