// A process that is shut in before its first JavaScript runs.
//
// Node starts threads of its own, and capabilities and namespaces belong to threads. So they are set
// in a copy of the launcher that executes Node anew. What has to be done with privileges later,
// when Node and its files are loaded from the old root, does a second copy, the usher: it shares the
// first one's root and working directory (CLONE_FS), makes the share their root when it is told to,
// hands over descriptors of /proc, and is gone. The program that talks to guests never has the
// rights of mount(2) and chroot(2).
//
// Between clone(2) and execve(2) only system calls are made: the launcher's other threads are not
// in the copy, and may have held any lock.
#include "confinement.h"

#include <fcntl.h>
#include <napi.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "cold.h"
#include "state.h"

namespace {

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

// Descriptors that a confined program inherits stand from here on, in the order of its plan.
constexpr int kFirstNamed = 3;
constexpr size_t kMostNamed = 16;
constexpr int kBeyondNamed = 64;

enum class Root { kUnchanged, kChroot, kPivot };

struct Plan {
  std::string program;
  std::vector<std::string> arguments, environment;
  std::vector<char*> argv, envp;
  std::vector<int> descriptors;  // become 3, 4, ...; then comes the usher's socket, if any
  int namespaces = 0;            // CLONE_NEW...
  Root root = Root::kUnchanged;
  std::string sharedDir;
  uint64_t capabilities = 0;
};

std::vector<std::string> stringsOf(const Napi::Value& value) {
  std::vector<std::string> out;
  Napi::Array array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) out.push_back(array.Get(i).ToString().Utf8Value());
  return out;
}

std::vector<char*> pointersOf(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

void readPlan(const Napi::Object& given, Plan& plan) {
  plan.program = pathOf(given.Get("program"));
  plan.arguments = stringsOf(given.Get("arguments"));
  plan.environment = stringsOf(given.Get("environment"));
  plan.argv = pointersOf(plan.arguments);
  plan.envp = pointersOf(plan.environment);
  Napi::Array descriptors = given.Get("descriptors").As<Napi::Array>();
  for (uint32_t i = 0; i < descriptors.Length() && i < kMostNamed; i++) {
    plan.descriptors.push_back(intOf(descriptors.Get(i)));
  }
  plan.namespaces = intOf(given.Get("namespaces"));
  const std::string root = pathOf(given.Get("root"));
  plan.root = root == "pivot" ? Root::kPivot : root == "chroot" ? Root::kChroot : Root::kUnchanged;
  plan.sharedDir = pathOf(given.Get("sharedDir"));
  bool exact = false;
  plan.capabilities = given.Get("capabilities").As<Napi::BigInt>().Uint64Value(&exact);
}

ConfinementFailure failedAt(const char* step) {
  ConfinementFailure failure = {};
  failure.error = errno;
  strncpy(failure.step, step, sizeof failure.step - 1);
  return failure;
}

[[noreturn]] void reportAndEnd(int socket, const char* step) {
  const ConfinementFailure failure = failedAt(step);
  [[maybe_unused]] const ssize_t n = write(socket, &failure, sizeof failure);
  _exit(1);
}

// Closes on execve(2) what is numbered `first` or more.
void closeOnExecFrom(unsigned first) {
  if (syscall(SYS_close_range, first, UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0) return;
  // Kernels before 5.11.
  struct rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  for (unsigned fd = first; fd < limit.rlim_cur; fd++) {
    const int flags = fcntl(static_cast<int>(fd), F_GETFD);
    if (flags >= 0) fcntl(static_cast<int>(fd), F_SETFD, flags | FD_CLOEXEC);
  }
}

void closeFrom(unsigned first) {
  if (syscall(SYS_close_range, first, UINT_MAX, 0) == 0) return;
  struct rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  for (unsigned fd = first; fd < limit.rlim_cur; fd++) close(static_cast<int>(fd));
}

// Writes "/proc/PID/NAME".
void procPath(char* out, pid_t pid, const char* name) {
  char digits[12];
  int count = 0;
  for (int rest = pid; rest > 0 || count == 0; rest /= 10) {
    digits[count++] = static_cast<char>('0' + rest % 10);
  }
  char* at = stpcpy(out, "/proc/");
  while (count > 0) *at++ = digits[--count];
  *at++ = '/';
  strcpy(at, name);
}

// --- the usher -----------------------------------------------------------------------------------

struct Proc {
  int selfFd = -1;     // O_PATH, the served process's /proc/self/fd
  int mountInfo = -1;  // its /proc/self/mountinfo
};

// Null, or the step that failed.
const char* enterByChroot(const char* sharedDir, pid_t served, Proc& proc) {
  char path[48];
  procPath(path, served, "fd");
  proc.selfFd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (proc.selfFd < 0) return "open /proc/self/fd";
  // Opened from within the new root it would leave out the mount that the share is on.
  procPath(path, served, "mountinfo");
  proc.mountInfo = open(path, O_RDONLY | O_CLOEXEC);
  if (proc.mountInfo < 0) return "open mountinfo";
  if (chroot(sharedDir) < 0) return "chroot";
  return chdir("/") < 0 ? "chdir" : nullptr;
}

// pivot_root(2), its section «pivot_root(".", ".")»: needs no directory to put the old root.
const char* pivotTo(const char* sharedDir) {
  if (mount(sharedDir, sharedDir, nullptr, MS_BIND | MS_REC, nullptr) < 0) return "bind share";
  const int oldRoot = open("/", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
  if (oldRoot < 0) return "open old root";
  const int newRoot = open(sharedDir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
  if (newRoot < 0) return "open share";
  if (fchdir(newRoot) < 0) return "chdir";
  if (syscall(SYS_pivot_root, ".", ".") < 0) return "pivot_root";
  if (fchdir(oldRoot) < 0) return "chdir";
  // Nothing of the unmounting may reach the host.
  if (mount(nullptr, ".", nullptr, MS_SLAVE | MS_REC, nullptr) < 0) return "make slave";
  if (umount2(".", MNT_DETACH) < 0) return "detach old root";
  if (fchdir(newRoot) < 0) return "chdir";
  close(oldRoot);
  close(newRoot);
  return nullptr;
}

const char* enterByPivot(const char* sharedDir, pid_t served, Proc& proc) {
  char path[48];
  procPath(path, served, "");
  const int own = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return "open /proc/self";
  // From the root of a mount ".." leads nowhere: of /proc nothing but these links can be reached.
  procPath(path, served, "fd");
  if (mount(path, "/proc", nullptr, MS_BIND, nullptr) < 0) return "bind /proc/self/fd";
  proc.selfFd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (proc.selfFd < 0) return "open /proc/self/fd";
  if (strcmp(sharedDir, "/") != 0) {
    if (const char* step = pivotTo(sharedDir)) return step;
  }
  // It tells the mounts below the root that its opener's process has at that moment.
  proc.mountInfo = openat(own, "mountinfo", O_RDONLY | O_CLOEXEC);
  return proc.mountInfo < 0 ? "open mountinfo" : nullptr;
}

// Answers with the outcome; the descriptors of `proc` travel along when it is a success.
void answer(int socket, const ConfinementFailure& outcome, const Proc& proc) {
  struct iovec data = {const_cast<ConfinementFailure*>(&outcome), sizeof outcome};
  alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
  struct msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (outcome.error == 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(2 * sizeof(int));
    const int sent[2] = {proc.selfFd, proc.mountInfo};
    memcpy(CMSG_DATA(rights), sent, sizeof sent);
  }
  sendmsg(socket, &message, MSG_NOSIGNAL);
}

[[noreturn]] void usher(const Plan& plan, int socket) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  dup2(socket, STDIN_FILENO);
  closeFrom(STDOUT_FILENO);
  char wake;
  ssize_t n;
  do {
    n = read(STDIN_FILENO, &wake, 1);
  } while (n < 0 && errno == EINTR);
  if (n != 1) _exit(0);  // the other one ended before it had loaded everything
  Proc proc;
  const pid_t served = getppid();
  const char* step = plan.root == Root::kChroot
                         ? enterByChroot(plan.sharedDir.c_str(), served, proc)
                         : enterByPivot(plan.sharedDir.c_str(), served, proc);
  answer(STDIN_FILENO, step == nullptr ? ConfinementFailure{} : failedAt(step), proc);
  _exit(0);
}

// --- the process that will serve -----------------------------------------------------------------

// Puts the descriptors of the plan and the usher's socket in their places, counted from 3.
const char* placeDescriptors(const Plan& plan, int usherSocket) {
  int copies[kMostNamed + 1];
  int named = 0;
  // Copies beyond the places first: what is put in one may be what stands in another.
  for (const int fd : plan.descriptors) {
    copies[named++] = fcntl(fd, F_DUPFD_CLOEXEC, kBeyondNamed);
  }
  if (usherSocket >= 0) copies[named++] = fcntl(usherSocket, F_DUPFD_CLOEXEC, kBeyondNamed);
  for (int i = 0; i < named; i++) {
    if (copies[i] < 0 || dup2(copies[i], kFirstNamed + i) < 0) return "keep descriptors";
  }
  closeOnExecFrom(static_cast<unsigned>(kFirstNamed + named));
  // Node marks its own; what it finds closed it opens again as /dev/null, also a log.
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) fcntl(fd, F_SETFD, 0);
  return nullptr;
}

// What both ways to a confined program have in common. Returns the step that failed.
const char* execute(const Plan& plan, int usherSocket) {
  const bool root = syscall(SYS_geteuid) == 0;
  // EPERM: not root, or a user namespace where setgroups is denied for good.
  if (syscall(SYS_setgroups, 0ul, nullptr) < 0 && errno != EPERM) return "setgroups";
  if (const char* step = placeDescriptors(plan, usherSocket)) return step;
  if (const char* step = boundCapabilities(plan.capabilities, !root)) return step;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return "no new privileges";
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(plan.program.c_str(), plan.argv.data(), plan.envp.data());
  return "execve";
}

long cloneProcess(int flags) {
  // As fork(2) does it. All other arguments are zero, so that their order, which differs between
  // architectures, does not matter.
  return syscall(SYS_clone, static_cast<unsigned long>(flags | SIGCHLD), 0ul, 0ul, 0ul, 0ul);
}

// Launcher's copy: waits until its ids are mapped, sets everything up, executes the program.
[[noreturn]] void serve(const Plan& plan, int given) {
  // Out of the way of what will be put in its place.
  const int launcher = fcntl(given, F_DUPFD_CLOEXEC, kBeyondNamed);
  close(given);
  char mapped;
  ssize_t n;
  do {
    n = read(launcher, &mapped, 1);
  } while (n < 0 && errno == EINTR);
  if (n != 1) _exit(1);
  if (plan.namespaces & CLONE_NEWUSER) {
    // Root of the namespace, if that has one: without a map for 0 this is refused with EINVAL, and
    // nothing is lost, because the maker of a namespace has all its capabilities.
    syscall(SYS_setresgid, 0, 0, 0);
    syscall(SYS_setresuid, 0, 0, 0);
  }
  // After the change of ids, which resets it. A launcher that is gone already has closed its end.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) reportAndEnd(launcher, "parent death signal");

  if (plan.root == Root::kPivot) {
    if (mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) < 0) {
      reportAndEnd(launcher, "make slave");
    }
    if (mount("proc", "/proc", "proc", MS_NODEV | MS_NOEXEC | MS_NOSUID | MS_RELATIME, nullptr) < 0) {
      reportAndEnd(launcher, "mount /proc");
    }
  }
  // So that no working directory outside the share is left.
  if (chdir("/") < 0) reportAndEnd(launcher, "chdir");
  int pair[2] = {-1, -1};
  if (plan.root != Root::kUnchanged) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
      reportAndEnd(launcher, "socketpair");
    }
    const long pid = cloneProcess(CLONE_FS);
    if (pid < 0) reportAndEnd(launcher, "clone");
    if (pid == 0) usher(plan, pair[1]);
    close(pair[1]);
  }
  const int nothing = open("/dev/null", O_RDWR);
  if (nothing < 0) reportAndEnd(launcher, "open /dev/null");
  dup2(nothing, STDIN_FILENO);
  dup2(nothing, STDOUT_FILENO);
  // The launcher's socket closes with a successful execve: this is how it learns of it.
  reportAndEnd(launcher, execute(plan, pair[0]));
}

Napi::Object failureObject(Napi::Env env, const ConfinementFailure& failure) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("step", Napi::String::New(env, failure.step));
  out.Set("errno", Napi::Number::New(env, failure.error));
  return out;
}

// startConfined(plan): a copy of this process in new namespaces, which waits. {pid, socket}: a byte
// written to the socket lets it go on, then the socket's end tells of success, a failure arrives as
// one message otherwise. Or -errno of clone(2). Call it on the main thread: the child dies with the
// thread that made it.
Napi::Value startConfined(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Plan plan;
  readPlan(info[0].As<Napi::Object>(), plan);
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return resultOf(env, -1);
  const long pid = cloneProcess(plan.namespaces);
  if (pid == 0) {
    close(pair[0]);
    serve(plan, pair[1]);
  }
  const int error = errno;
  close(pair[1]);
  if (pid < 0) {
    close(pair[0]);
    errno = error;
    return resultOf(env, -1);
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("pid", Napi::Number::New(env, static_cast<double>(pid)));
  out.Set("socket", Napi::Number::New(env, pair[0]));
  return out;
}

// releaseConfined(socket): lets the child go on and waits until its program runs: null, or the
// failure. Closes the socket.
Napi::Value releaseConfined(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const int socket = intOf(info[0]);
  ConfinementFailure failure = {};
  const char go = 1;
  ssize_t n = send(socket, &go, 1, MSG_NOSIGNAL);
  if (n == 1) {
    do {
      n = read(socket, &failure, sizeof failure);
    } while (n < 0 && errno == EINTR);
  }
  if (n != 0 && n != static_cast<ssize_t>(sizeof failure)) failure = failedAt("child");
  close(socket);
  return n == 0 ? env.Null() : Napi::Value(failureObject(env, failure));
}

// becomeConfined(plan): executes the plan's program in this process, bounded in capabilities.
// Returns only what failed.
Napi::Value becomeConfined(const Napi::CallbackInfo& info) {
  Plan plan;
  readPlan(info[0].As<Napi::Object>(), plan);
  return failureObject(info.Env(), failedAt(execute(plan, -1)));
}

// enterSandbox(socket): asks the usher to make the share the root of this process, waits for its
// end and closes the socket: {procSelfFd, mountInfoFd}, or the failure.
Napi::Value enterSandbox(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const int socket = intOf(info[0]);
  ConfinementFailure outcome = {};
  struct iovec data = {&outcome, sizeof outcome};
  alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
  struct msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const char go = 1;
  ssize_t n = send(socket, &go, 1, MSG_NOSIGNAL);
  if (n == 1) {
    do {
      n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
  }
  if (n != static_cast<ssize_t>(sizeof outcome)) {
    if (n >= 0) errno = ECONNRESET;
    outcome = failedAt("usher");
  }
  close(socket);
  // The usher is the only child that this program has had.
  while (waitpid(-1, nullptr, 0) < 0 && errno == EINTR) {
  }
  const struct cmsghdr* rights = CMSG_FIRSTHDR(&message);
  if (outcome.error != 0 || rights == nullptr) return failureObject(env, outcome);
  int received[2];
  memcpy(received, CMSG_DATA(rights), sizeof received);
  Napi::Object out = Napi::Object::New(env);
  out.Set("procSelfFd", Napi::Number::New(env, received[0]));
  out.Set("mountInfoFd", Napi::Number::New(env, received[1]));
  return out;
}

// waitForChild(pid): waits for its end: its status as {code} or {signal}, or -errno.
Napi::Value waitForChild(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int status = 0;
  pid_t pid;
  do {
    pid = waitpid(intOf(info[0]), &status, 0);
  } while (pid < 0 && errno == EINTR);
  if (pid < 0) return resultOf(env, -1);
  Napi::Object out = Napi::Object::New(env);
  if (WIFSIGNALED(status)) out.Set("signal", Napi::Number::New(env, WTERMSIG(status)));
  else out.Set("code", Napi::Number::New(env, WEXITSTATUS(status)));
  return out;
}

// memoryFile(bytes): a descriptor of an unnamed file in memory with that content, or -errno.
Napi::Value memoryFile(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Buffer<uint8_t> bytes = info[0].As<Napi::Buffer<uint8_t>>();
  const int fd = memfd_create("virtiofsd-inspector", MFD_CLOEXEC);
  if (fd < 0) return resultOf(env, -1);
  size_t done = 0;
  while (done < bytes.Length()) {
    const ssize_t n = pwrite(fd, bytes.Data() + done, bytes.Length() - done,
                             static_cast<off_t>(done));
    if (n < 0) {
      const int error = errno;
      close(fd);
      errno = error;
      return resultOf(env, -1);
    }
    done += static_cast<size_t>(n);
  }
  return Napi::Number::New(env, fd);
}

}  // namespace

void defineConfinement(Napi::Env env, Napi::Object exports) {
  exports.Set("startConfined", Napi::Function::New(env, startConfined));
  exports.Set("releaseConfined", Napi::Function::New(env, releaseConfined));
  exports.Set("becomeConfined", Napi::Function::New(env, becomeConfined));
  exports.Set("enterSandbox", Napi::Function::New(env, enterSandbox));
  exports.Set("waitForChild", Napi::Function::New(env, waitForChild));
  exports.Set("memoryFile", Napi::Function::New(env, memoryFile));
}
