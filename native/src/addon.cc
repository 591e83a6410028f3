#include <fcntl.h>
#include <napi.h>
#include <unistd.h>

#include <utility>

#include "cold.h"
#include "layout.h"
#include "state.h"
#include "vhostDevice.h"

State::~State() {
  for (int fd : {procSelfFd, dataPipe[0], dataPipe[1]}) {
    if (fd >= 0) close(fd);
  }
}

namespace {

constexpr size_t kPage = 4096;

// attach(memory: ArrayBuffer, procSelfFd): registers the memory that all hot calls of this thread
// work in, and the process's /proc/self/fd where that path cannot be reached (-1: open it).
// Returns where in it the scratch begins: its first page boundary, for the sake of O_DIRECT.
Napi::Value attach(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  State* state = env.GetInstanceData<State>();
  if (info.Length() < 1 || !info[0].IsArrayBuffer()) {
    Napi::TypeError::New(env, "attach wants an ArrayBuffer").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  Napi::ArrayBuffer buffer = info[0].As<Napi::ArrayBuffer>();
  if (buffer.ByteLength() < static_cast<size_t>(layout::kScratchSize) + kPage) {
    Napi::RangeError::New(env, "the ArrayBuffer is smaller than SCRATCH_SIZE and a page")
        .ThrowAsJavaScriptException();
    return env.Undefined();
  }
  if (state->procSelfFd < 0) {
    const int given = intOf(info[1], -1);
    state->procSelfFd = given >= 0 ? fcntl(given, F_DUPFD_CLOEXEC, 0)
                                   : open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (state->procSelfFd < 0) {
      Napi::Error::New(env, "cannot open /proc/self/fd: is /proc mounted?")
          .ThrowAsJavaScriptException();
      return env.Undefined();
    }
  }
  state->scratchOwner = Napi::Persistent(buffer);
  const size_t start = reinterpret_cast<uintptr_t>(buffer.Data()) % kPage;
  const size_t shift = start == 0 ? 0 : kPage - start;
  state->scratch = static_cast<uint8_t*>(buffer.Data()) + shift;
  return Napi::Number::New(env, static_cast<double>(shift));
}

// The numbers of layout.h, for the test that compares them with native/index.ts.
Napi::Object layoutNumbers(Napi::Env env) {
  const std::pair<const char*, int32_t> numbers[] = {
      {"RESULT_FAILED_SLOT", layout::kResultFailedSlot},
      {"RESULT_REPLY_ERRNO", layout::kResultReplyErrno},
      {"RESULT_OPEN_FD", layout::kResultOpenFd},
      {"RESULT_WIDE", layout::kResultWide},
      {"RESULT_NEXT", layout::kResultNext},
      {"RESULT_TROUBLE", layout::kResultTrouble},
      {"RESULT_TROUBLE_RING", layout::kResultTroubleRing},
      {"CREDS", layout::kCreds},
      {"MAX_GROUPS", layout::kMaxGroups},
      {"SLOT_FIRST", layout::kSlotFirst},
      {"SLOT_SECOND", layout::kSlotSecond},
      {"SLOT_THIRD", layout::kSlotThird},
      {"NAME", layout::kName},
      {"MAKING_UMASK", layout::kMakingUmask},
      {"MAKING_CONTEXT", layout::kMakingContext},
      {"RECORD_ERRNO", layout::kRecordErrno},
      {"RECORD_FD", layout::kRecordFd},
      {"RECORD_HANDLE_ERRNO", layout::kRecordHandleErrno},
      {"RECORD_HANDLE_MOUNT", layout::kRecordHandleMount},
      {"RECORD_DIRENT", layout::kRecordDirent},
      {"RECORD_NAME_LENGTH", layout::kRecordNameLength},
      {"RECORD_ELAPSED", layout::kRecordElapsed},
      {"RECORD_STAT", layout::kRecordStat},
      {"RECORD_HANDLE", layout::kRecordHandle},
      {"RECORD_SIZE", layout::kRecordSize},
      {"RECORD", layout::kRecord},
      {"PROBE_RECORD", layout::kProbeRecord},
      {"BATCH", layout::kBatch},
      {"BATCH_RECORDS", layout::kBatchRecords},
      {"DIRENTS", layout::kDirents},
      {"DIRENTS_SIZE", layout::kDirentsSize},
      {"REQUEST", layout::kRequest},
      {"REQUEST_SIZE", layout::kRequestSize},
      {"REPLY", layout::kReply},
      {"REPLY_SIZE", layout::kReplySize},
      {"SCRATCH_SIZE", layout::kScratchSize},
      {"TROUBLE_CHAIN", layout::kTroubleChain},
      {"TROUBLE_HEAD", layout::kTroubleHead},
      {"TROUBLE_RING", layout::kTroubleRing},
      {"TROUBLE_ROOM", layout::kTroubleRoom},
      {"WANT_HANDLE", layout::kWantHandle},
      {"KEEP_PARENT", layout::kKeepParent},
      {"COMPARE_INODES", layout::kCompareInodes},
      {"DIFFERS_INO", layout::kDiffersIno},
      {"DIFFERS_DEV", layout::kDiffersDev},
      {"DIFFERS_TYPE", layout::kDiffersType},
      {"DIFFERS_BTIME", layout::kDiffersBtime},
      {"DIFFERS_SUBVOL", layout::kDiffersSubvol},
      {"DIFFERS_HANDLE", layout::kDiffersHandle},
      {"DIFFERS_INODE", layout::kDiffersInode},
      {"DIFFERS_NLINK", layout::kDiffersNlink},
      {"INODE_UNKNOWN", layout::kInodeUnknown},
      {"KEEP_DAC_OVERRIDE", static_cast<int32_t>(layout::kCredsKeepDacOverride)},
  };
  Napi::Object out = Napi::Object::New(env);
  for (const auto& [name, value] : numbers) out.Set(name, Napi::Number::New(env, value));
  return out;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  State* state = new State();
  env.SetInstanceData(state);
  exports.Set("attach", Napi::Function::New(env, attach));
  exports.Set("layout", layoutNumbers(env));
  defineAttributes(env, exports, state);
  defineCapabilities(env, exports);
  defineConfinement(env, exports);
  defineCredentials(env, exports, state);
  defineDirectories(env, exports, state);
  defineFiles(env, exports, state);
  defineLookup(env, exports, state);
  defineLoopback(env, exports);
  defineMounting(env, exports);
  defineNames(env, exports, state);
  defineProbing(env, exports);
  defineSeccomp(env, exports);
  defineSession(env, exports, state);
  defineTimes(env, exports);
  defineSyslog(env, exports);
  defineVhost(env, exports, state);
  defineXattr(env, exports, state);
  return exports;
}

}  // namespace

NODE_API_MODULE(virtiofsd_inspector, init)
