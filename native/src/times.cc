// Putting back a time that a visit has changed: Node's own futimes takes seconds as a double, which
// loses nanoseconds.
#include <fcntl.h>
#include <napi.h>
#include <sys/stat.h>

#include "cold.h"
#include "state.h"

namespace {

// setModificationTime(fd, seconds: bigint, nanoseconds): 0 or -errno. The access time stays.
Napi::Value setModificationTime(const Napi::CallbackInfo& info) {
  bool lossless = false;
  if (!info[1].IsBigInt()) {
    errno = EINVAL;
    return resultOf(info.Env(), -1);
  }
  const int64_t seconds = info[1].As<Napi::BigInt>().Int64Value(&lossless);
  const struct timespec times[2] = {{0, UTIME_OMIT}, {static_cast<time_t>(seconds), intOf(info[2])}};
  return resultOf(info.Env(), futimens(intOf(info[0]), times));
}

}  // namespace

void defineTimes(Napi::Env env, Napi::Object exports) {
  exports.Set("setModificationTime", Napi::Function::New(env, setModificationTime));
}
