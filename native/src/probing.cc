// Looking at files from outside the hot path: identities, handles, file system types.
#include <fcntl.h>
#include <napi.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cstring>

#include "cold.h"
#include "state.h"

namespace {

// Not in the headers of older distributions.
constexpr unsigned kStatxMountIdUnique = 0x4000;
constexpr unsigned kStatxMountId = 0x1000;
constexpr unsigned kStatxSubvolume = 0x8000;
constexpr size_t kMountIdAt = 0x90;
constexpr size_t kSubvolumeAt = 0xa0;

uint64_t wordAt(const struct statx& st, size_t at) {
  uint64_t value;
  memcpy(&value, reinterpret_cast<const uint8_t*>(&st) + at, sizeof value);
  return value;
}

// identify(dirFd, path): what statx says, or -errno. An empty path means dirFd itself. Symlinks are
// not followed. 64-bit values are BigInts; unknown is null. The second statx asks for the unique
// mount id, because one call answers only one of the two ids.
Napi::Value identifyPath(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const int directory = intOf(info[0]);
  const std::string path = pathOf(info[1]);
  const int flags = AT_SYMLINK_NOFOLLOW | (path.empty() ? AT_EMPTY_PATH : 0);
  constexpr unsigned mask = STATX_BASIC_STATS | STATX_BTIME | kStatxMountId | kStatxSubvolume;
  struct statx st = {};
  if (statx(directory, path.c_str(), flags, mask, &st) < 0) return resultOf(env, -1);
  struct statx unique = {};
  const bool hasUnique = statx(directory, path.c_str(), flags, kStatxMountIdUnique, &unique) == 0 &&
                         (unique.stx_mask & kStatxMountIdUnique) != 0;
  Napi::Object out = Napi::Object::New(env);
  const auto number = [&](const char* name, double value) {
    out.Set(name, Napi::Number::New(env, value));
  };
  out.Set("ino", Napi::BigInt::New(env, static_cast<uint64_t>(st.stx_ino)));
  number("devMajor", st.stx_dev_major);
  number("devMinor", st.stx_dev_minor);
  number("mode", st.stx_mode);
  number("nlink", st.stx_nlink);
  number("uid", st.stx_uid);
  number("gid", st.stx_gid);
  out.Set("size", Napi::BigInt::New(env, static_cast<uint64_t>(st.stx_size)));
  number("mntId", static_cast<double>(st.stx_mask & kStatxMountId ? wordAt(st, kMountIdAt) : 0));
  if (hasUnique) {
    out.Set("mntIdUnique", Napi::BigInt::New(env, wordAt(unique, kMountIdAt)));
  } else {
    out.Set("mntIdUnique", env.Null());
  }
  if (st.stx_mask & kStatxSubvolume) {
    out.Set("subvol", Napi::BigInt::New(env, wordAt(st, kSubvolumeAt)));
  } else {
    out.Set("subvol", env.Null());
  }
  if (st.stx_mask & STATX_BTIME) {
    Napi::Object btime = Napi::Object::New(env);
    btime.Set("seconds", Napi::BigInt::New(env, static_cast<int64_t>(st.stx_btime.tv_sec)));
    btime.Set("nanoseconds", Napi::Number::New(env, st.stx_btime.tv_nsec));
    out.Set("btime", btime);
  } else {
    out.Set("btime", env.Null());
  }
  return out;
}

// nameToHandle(dirFd, path): {mntId, type, bytes} or -errno. An empty path means dirFd itself.
Napi::Value nameToHandle(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string path = pathOf(info[1]);
  alignas(struct file_handle) uint8_t room[sizeof(struct file_handle) + layout::kHandleBytes] = {};
  auto* handle = reinterpret_cast<struct file_handle*>(room);
  handle->handle_bytes = layout::kHandleBytes;
  int mount = 0;
  if (name_to_handle_at(intOf(info[0]), path.c_str(), handle, &mount,
                        path.empty() ? AT_EMPTY_PATH : 0) < 0) {
    return resultOf(env, -1);
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("mntId", Napi::Number::New(env, mount));
  out.Set("type", Napi::Number::New(env, handle->handle_type));
  out.Set("bytes", Napi::Buffer<uint8_t>::Copy(env, handle->f_handle, handle->handle_bytes));
  return out;
}

// openByHandle(mountFd, type, bytes, flags): a descriptor or -errno.
Napi::Value openByHandle(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  alignas(struct file_handle) uint8_t room[sizeof(struct file_handle) + layout::kHandleBytes] = {};
  auto* handle = reinterpret_cast<struct file_handle*>(room);
  if (!info[2].IsTypedArray()) {
    errno = EINVAL;
    return resultOf(env, -1);
  }
  Napi::Uint8Array bytes = info[2].As<Napi::Uint8Array>();
  if (bytes.ByteLength() > static_cast<size_t>(layout::kHandleBytes)) {
    errno = EINVAL;
    return resultOf(env, -1);
  }
  handle->handle_bytes = static_cast<unsigned>(bytes.ByteLength());
  handle->handle_type = intOf(info[1]);
  memcpy(handle->f_handle, bytes.Data(), bytes.ByteLength());
  return resultOf(env, open_by_handle_at(intOf(info[0]), handle, intOf(info[3]) | O_CLOEXEC));
}

// fileSystemType(fd or path): f_type of statfs(2), or -errno.
Napi::Value fileSystemType(const Napi::CallbackInfo& info) {
  struct statfs fs = {};
  const int result = info[0].IsNumber() ? fstatfs(intOf(info[0]), &fs)
                                        : statfs(pathOf(info[0]).c_str(), &fs);
  if (result < 0) return resultOf(info.Env(), -1);
  return Napi::Number::New(info.Env(), static_cast<double>(static_cast<uint32_t>(fs.f_type)));
}

}  // namespace

void defineProbing(Napi::Env env, Napi::Object exports) {
  exports.Set("identify", Napi::Function::New(env, identifyPath));
  exports.Set("nameToHandle", Napi::Function::New(env, nameToHandle));
  exports.Set("openByHandle", Napi::Function::New(env, openByHandle));
  exports.Set("fileSystemType", Napi::Function::New(env, fileSystemType));
}
