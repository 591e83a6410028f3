// A /dev/fuse session: receiving requests, sending replies, and moving file data between the
// device and files without passing through JavaScript.
#include <poll.h>
#include <sys/uio.h>

#include <algorithm>

#include "fileData.h"
#include "inode.h"
#include "state.h"
#include "vhostDevice.h"

namespace {

// From this size on moving pages through a pipe beats copying twice (measured, see test/bench).
constexpr int32_t kSpliceReadsFrom = 64 * 1024;
constexpr int32_t kSpliceWritesFrom = 128 * 1024;
// The largest request, or reply, is 1 MiB and a header; pipes come in powers of two. An ordinary
// user gets no more than fs.pipe-max-size, which is 1 MiB.
constexpr int kPipeSizes[] = {2 << 20, 1 << 20};
constexpr int kPage = 4096;
constexpr int32_t kWriteHeader = 80;  // fuse_in_header + fuse_write_in
constexpr uint32_t kOpcodeWrite = 16;

struct OutHeader {  // struct fuse_out_header
  uint32_t length;
  int32_t error;
  uint64_t unique;
};

// Whether `bytes` of file data and a header can be spliced. The pipe is made on first use. Its
// slots hold a page each, however little of it is used: the header takes one, and data that begins
// inside a page one more.
bool pipeHolds(State& state, int32_t bytes) {
  if (!state.spliceWorks) return false;
  if (state.dataPipe[0] < 0) {
    if (pipe2(state.dataPipe, O_CLOEXEC) < 0) {
      state.spliceWorks = false;
      return false;
    }
    state.dataPipeSize = 16 * kPage;
    for (int size : kPipeSizes) {
      const int got = fcntl(state.dataPipe[1], F_SETPIPE_SZ, size);
      if (got < 0) continue;
      state.dataPipeSize = got;
      break;
    }
  }
  return bytes / kPage + 3 <= state.dataPipeSize / kPage;
}

bool readFully(int fd, uint8_t* to, size_t size) {
  while (size > 0) {
    const ssize_t n = read(fd, to, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    to += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// Brings a WRITE's payload that still is in the pipe to where it would stand after a plain read.
bool fetchPayload(State& state) {
  const int32_t size = state.payloadInPipe;
  state.payloadInPipe = 0;
  if (size == 0) return true;
  return readFully(state.dataPipe[0], state.at<uint8_t>(layout::kRequest + kWriteHeader),
                   static_cast<size_t>(size));
}

// One nonblocking read through the pipe, for when a large WRITE is expected.
int32_t receiveBySplice(State& state, int fuseFd) {
  const ssize_t n =
      splice(fuseFd, nullptr, state.dataPipe[1], nullptr, layout::kRequestSize, SPLICE_F_NONBLOCK);
  if (n <= 0) return n < 0 ? -errno : -ENODEV;
  const int32_t length = static_cast<int32_t>(n);
  uint8_t* request = state.at<uint8_t>(layout::kRequest);
  const int32_t head = length < kWriteHeader ? length : kWriteHeader;
  if (!readFully(state.dataPipe[0], request, static_cast<size_t>(head))) return -EIO;
  const uint32_t opcode = *state.at<uint32_t>(layout::kRequest + 4);
  if (opcode == kOpcodeWrite && length - head >= kSpliceWritesFrom) {
    state.payloadInPipe = length - head;
  } else {
    if (!readFully(state.dataPipe[0], request + head, static_cast<size_t>(length - head))) {
      return -EIO;
    }
  }
  return length;
}

int32_t receiveOnce(State& state, int fuseFd) {
  int32_t length;
  // The kernel fails a request that does not fit into the pipe, so the pipe must hold the largest.
  if (state.bigWrites > 0 && pipeHolds(state, layout::kRequestSize)) {
    length = receiveBySplice(state, fuseFd);
  } else {
    length = negated(read(fuseFd, state.at<uint8_t>(layout::kRequest), layout::kRequestSize));
  }
  if (length > 0) {
    const bool big = *state.at<uint32_t>(layout::kRequest + 4) == kOpcodeWrite &&
                     length - kWriteHeader >= kSpliceWritesFrom;
    if (big) {
      state.bigWrites = 4;
    } else if (state.bigWrites > 0) {
      state.bigWrites--;
    }
  }
  return length;
}

// Waits for the next request. Returns its length, 0 when the control descriptor was signalled,
// -ECANCELED when it was told to stop, or -errno (-ENODEV: unmounted).
//
// Reading comes first: a failing read costs a quarter of what a poll costs, and a busy device
// answers it. So that a busy device does not starve the control descriptor, every 64th call polls
// first.
int32_t receive(State& state, int32_t fuseFd, int32_t controlFd) {
  if (state.payloadInPipe > 0 && !fetchPayload(state)) return -EIO;
  state.turns++;
  bool pollFirst = state.turns % 64 == 0;
  for (;;) {
    if (pollFirst) {
      struct pollfd watched[2] = {{fuseFd, POLLIN, 0}, {controlFd, POLLIN, 0}};
      if (poll(watched, controlFd >= 0 ? 2 : 1, -1) < 0) {
        if (errno == EINTR) continue;
        return -errno;
      }
      if (watched[1].revents & POLLIN) {
        uint64_t count = 0;
        [[maybe_unused]] const ssize_t drained = read(controlFd, &count, sizeof count);
        return count >= layout::kStopCount ? -ECANCELED : 0;
      }
    }
    const int32_t length = receiveOnce(state, fuseFd);
    if (length > 0) {
      state.receivedAt = monotonicNs();
      return length;
    }
    // ENOENT: the request was withdrawn while it was being read (fuse(4)).
    if (length == -EAGAIN) {
      pollFirst = true;
    } else if (length != -EINTR && length != -ENOENT) {
      return length;
    }
  }
}

// Sends the reply that stands at `at`. ENOENT (the caller was interrupted or gone) and ENODEV
// (unmounted, which the next receive reports) are no failures of the reply.
void send(State& state, int32_t fuseFd, int32_t at, int32_t length) {
  ssize_t sent;
  do {
    sent = write(fuseFd, state.at<uint8_t>(at), static_cast<size_t>(length));
  } while (sent < 0 && errno == EINTR);
  state.word(layout::kResultReplyErrno) =
      sent < 0 && errno != ENOENT && errno != ENODEV ? errno : 0;
}

int32_t reply(State& state, int32_t fuseFd, int32_t at, int32_t length) {
  send(state, fuseFd, at, length);
  return 0;
}

int32_t replyReceive(State& state, int32_t fuseFd, int32_t controlFd, int32_t at, int32_t length) {
  send(state, fuseFd, at, length);
  return receive(state, fuseFd, controlFd);
}

// READ through the pipe. 1: answered; 0: not possible here, read plainly; the pipe is empty again.
int sendBySplice(State& state, int fuseFd, int fd, int64_t offset, int32_t size, uint64_t unique) {
  const int32_t total = static_cast<int32_t>(sizeof(OutHeader)) + size;
  const OutHeader header = {static_cast<uint32_t>(total), 0, unique};
  if (write(state.dataPipe[1], &header, sizeof header) != sizeof header) return 0;
  int32_t moved = 0;
  while (moved < size) {
    loff_t at = offset + moved;
    const ssize_t n = splice(fd, &at, state.dataPipe[1], nullptr,
                             static_cast<size_t>(size - moved), SPLICE_F_NONBLOCK);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EINVAL || errno == ENOSYS)) state.spliceWorks = false;
    if (n <= 0) break;
    moved += static_cast<int32_t>(n);
  }
  if (moved == size) {
    ssize_t sent;
    do {
      // Not SPLICE_F_MOVE: it would take the pages out of the host's page cache.
      sent = splice(state.dataPipe[0], nullptr, fuseFd, nullptr, static_cast<size_t>(total), 0);
    } while (sent < 0 && errno == EINTR);
    if (sent == total) return 1;
    const int failure = errno;
    if (failure == ENOENT || failure == ENODEV) {
      // Nobody waits for the data any more; some of it may still be in the pipe.
      close(state.dataPipe[0]);
      close(state.dataPipe[1]);
      state.dataPipe[0] = state.dataPipe[1] = -1;
      return 1;
    }
    state.spliceWorks = false;
    close(state.dataPipe[0]);
    close(state.dataPipe[1]);
    state.dataPipe[0] = state.dataPipe[1] = -1;
    return 0;
  }
  // The file ended early, and the header in the pipe promises too much: take everything back.
  readFully(state.dataPipe[0], state.at<uint8_t>(layout::kReply),
            sizeof header + static_cast<size_t>(moved));
  return 0;
}

// Answers a READ of `size` bytes at the offset at offsetAt. Returns 0 when the reply was sent, or
// -errno when reading failed and nothing was sent.
int32_t sendFile(State& state, int32_t fuseFd, int32_t fd, int32_t offsetAt, int32_t size,
                 int32_t uniqueAt) {
  int64_t offset;
  uint64_t unique;
  memcpy(&offset, state.scratch + offsetAt, sizeof offset);
  memcpy(&unique, state.scratch + uniqueAt, sizeof unique);
  state.word(layout::kResultReplyErrno) = 0;
  if (size >= kSpliceReadsFrom && pipeHolds(state, size) &&
      sendBySplice(state, fuseFd, fd, offset, size, unique) == 1) {
    return 0;
  }
  constexpr int32_t header = static_cast<int32_t>(sizeof(OutHeader));
  const int32_t n = readAll(fd, state.at<uint8_t>(layout::kReply + header), size, offset);
  if (n < 0) return n;
  *state.at<OutHeader>(layout::kReply) = {static_cast<uint32_t>(header + n), 0, unique};
  send(state, fuseFd, layout::kReply, header + n);
  return 0;
}

// READ for peers that take the reply elsewhere: data to kReply + 16. Returns the bytes or -errno.
int32_t readFile(State& state, int32_t fd, int32_t toAt, int32_t size, int32_t offsetAt) {
  int64_t offset;
  memcpy(&offset, state.scratch + offsetAt, sizeof offset);
  return readAll(fd, state.at<uint8_t>(toAt), size, offset);
}

// Writes the payload of the WRITE at hand. Returns the bytes written or -errno.
int32_t writeFile(State& state, int32_t fd, int32_t dataAt, int32_t size, int32_t offsetAt,
                  int32_t append) {
  int64_t offset;
  memcpy(&offset, state.scratch + offsetAt, sizeof offset);
  int32_t done = 0;
  if (state.payloadInPipe > 0 && !append && size == state.payloadInPipe) {
    while (done < size) {
      loff_t at = offset + done;
      const ssize_t n = splice(state.dataPipe[0], nullptr, fd, &at,
                               static_cast<size_t>(size - done), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      done += static_cast<int32_t>(n);
      state.payloadInPipe -= static_cast<int32_t>(n);
    }
    if (done == size) return done;
    // Not every file can be spliced to, and a full disk stops half way: the plain write that
    // follows either goes on or learns the errno that the caller must see.
    const int32_t left = size - done;
    if (!fetchPayload(state)) return done > 0 ? done : -EIO;
    const int32_t more =
        writeAll(fd, state.at<uint8_t>(layout::kRequest + kWriteHeader), left, offset + done, 0);
    return more < 0 ? (done > 0 ? done : more) : done + more;
  }
  if (!fetchPayload(state)) return -EIO;
  return writeAll(fd, state.at<uint8_t>(dataAt), size, offset, append ? RWF_APPEND : 0);
}

// Puts the request at hand aside, so that others can be received: from now on all of it stands in
// the scratch, whose keeper the caller is. Returns a number for it, or -errno.
int32_t putAside(State& state) {
  if (!fetchPayload(state)) return -EIO;
  state.lastAside = state.lastAside == INT32_MAX ? 1 : state.lastAside + 1;
  state.aside.push_back({state.lastAside, monotonicNs() - state.receivedAt});
  if (state.vhost != nullptr) state.vhost->putAside(state.lastAside);
  return state.lastAside;
}

// Takes a request up again, once the scratch is as it was. What it takes does not count the time in
// between. 0, or -EINVAL when there is no such.
int32_t takeUp(State& state, int32_t name) {
  const auto at = std::find_if(state.aside.begin(), state.aside.end(),
                               [name](const State::Aside& one) { return one.name == name; });
  if (at == state.aside.end()) return -EINVAL;
  state.receivedAt = monotonicNs() - at->elapsed;
  state.aside.erase(at);
  if (state.vhost != nullptr) state.vhost->takeUp(name);
  return 0;
}

}  // namespace

void defineSession(Napi::Env env, Napi::Object exports, State* state) {
  defineHot<receive>(env, exports, state, "receive");
  defineHot<reply>(env, exports, state, "reply");
  defineHot<replyReceive>(env, exports, state, "replyReceive");
  defineHot<sendFile>(env, exports, state, "sendFile");
  defineHot<readFile>(env, exports, state, "readFile");
  defineHot<writeFile>(env, exports, state, "writeFile");
  defineHot<putAside>(env, exports, state, "putAside");
  defineHot<takeUp>(env, exports, state, "takeUp");
}
