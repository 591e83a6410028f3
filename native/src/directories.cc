// READDIR and READDIRPLUS: reading a directory, and looking up a run of its entries in one call.
#include <dirent.h>
#include <sys/syscall.h>

#include "inode.h"
#include "state.h"

namespace {

struct LinuxDirent {  // struct linux_dirent64 of getdents64(2)
  uint64_t ino;
  int64_t off;
  uint16_t recordLength;
  uint8_t type;
  char name[1];
};

// Fills DIRENTS with up to `size` bytes; seeks first when offsetAt >= 0. Returns the bytes read.
int32_t readEntries(State& state, int32_t fd, int32_t offsetAt, int32_t size) {
  if (offsetAt >= 0) {
    int64_t offset;
    memcpy(&offset, state.scratch + offsetAt, sizeof offset);
    if (lseek(fd, offset, SEEK_SET) < 0) return -errno;
  }
  if (size > layout::kDirentsSize) size = layout::kDirentsSize;
  return negated(syscall(SYS_getdents64, fd, state.scratch + layout::kDirents,
                         static_cast<size_t>(size)));
}

bool isDots(const char* name) {
  return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

// Looks up the entries in DIRENTS from `from` to `end` (offsets into the scratch) as long as their
// direntplus records fit into `room` bytes of the reply. "." and ".." get a record without lookup
// (errno 0, descriptor -1, mode from the dirent). Returns the number of records; RESULT_NEXT says
// where the next dirent stands.
int32_t lookupEntries(State& state, int32_t fd, int32_t from, int32_t end, int32_t room,
                      int32_t flags) {
  int32_t count = 0;
  int32_t at = from;
  while (at < end && count < layout::kBatchRecords) {
    const LinuxDirent* dirent = state.at<const LinuxDirent>(at);
    const int32_t nameLength = static_cast<int32_t>(strlen(dirent->name));
    const int32_t size = 128 + ((24 + nameLength + 7) & ~7);
    if (size > room) break;
    room -= size;
    const int32_t record = layout::kBatch + count * layout::kRecordSize;
    state.word(record + layout::kRecordDirent) = at;
    state.word(record + layout::kRecordNameLength) = nameLength;
    state.word(record + layout::kRecordErrno) = 0;
    state.word(record + layout::kRecordHandleErrno) = -1;
    state.word(record + layout::kRecordFd) = -1;
    if (!isDots(dirent->name)) {
      const int child = openChild(state, fd, dirent->name);
      if (child < 0) {
        state.word(record + layout::kRecordErrno) = errno;
      } else {
        identifyAndKeep(state, child, record, flags);
      }
    }
    state.word(record + layout::kRecordElapsed) = elapsedNs(state);
    count++;
    at += dirent->recordLength;
  }
  state.word(layout::kResultNext) = at;
  return count;
}

}  // namespace

void defineDirectories(Napi::Env env, Napi::Object exports, State* state) {
  defineHot<readEntries>(env, exports, state, "readEntries");
  defineHot<lookupEntries>(env, exports, state, "lookupEntries");
}
