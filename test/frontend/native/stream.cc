// A stream of prepared requests through one queue, as fast as the daemon answers: the client of
// the benchmarks, where the event loop of Node would be measured instead of the daemon.
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <vector>

#include "frontend.h"

namespace {

constexpr int kAnswerLimitMs = 20000;
constexpr uint16_t kIndirect = 4;

struct Descriptor {  // struct virtq_desc, VIRTIO 1.2 section 2.7.5
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};

struct UsedElement {
  uint32_t id;
  uint32_t length;
};

// One request of the plan: its indirect table, and where its reply's header will stand.
struct Planned {
  uint32_t table;  // guest-physical
  uint32_t tableBytes;
  uint32_t reply;  // offset in the mapping
};

struct Queue {
  Descriptor* descriptors;
  uint16_t* avail;  // flags, idx, ring, used_event
  uint16_t* used;   // flags, idx, elements, avail_event
  uint16_t size;
  bool eventIdx;
  int kick;
  int call;
  uint16_t availIdx;
  uint16_t usedIdx;

  uint16_t* usedEvent() { return avail + 2 + size; }
  uint16_t* availEvent() { return used + 2 + 4 * size; }
  UsedElement* element(uint16_t i) { return reinterpret_cast<UsedElement*>(used + 2) + i % size; }
};

double nowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

void offer(Queue& queue, uint16_t head, const Planned& request, uint16_t at) {
  queue.descriptors[head] = {request.table, request.tableBytes, kIndirect, 0};
  queue.avail[2 + at % queue.size] = head;
}

// Makes the requests up to `next` visible, and kicks when the daemon asked for that.
bool publish(Queue& queue, uint16_t next) {
  const uint16_t old = queue.availIdx;
  queue.availIdx = next;
  __atomic_store_n(&queue.avail[1], next, __ATOMIC_RELEASE);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  bool wanted;
  if (queue.eventIdx) {
    const uint16_t event = __atomic_load_n(queue.availEvent(), __ATOMIC_RELAXED);
    wanted = static_cast<uint16_t>(next - event - 1) < static_cast<uint16_t>(next - old);
  } else {
    wanted = (__atomic_load_n(&queue.used[0], __ATOMIC_RELAXED) & 1) == 0;
  }
  if (!wanted) return true;
  const uint64_t one = 1;
  return write(queue.kick, &one, sizeof one) == sizeof one;
}

// Sleeps until the used ring has moved. 0, or -errno.
int awaitUsed(Queue& queue) {
  for (;;) {
    if (queue.eventIdx) __atomic_store_n(queue.usedEvent(), queue.usedIdx, __ATOMIC_RELAXED);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (__atomic_load_n(&queue.used[1], __ATOMIC_ACQUIRE) != queue.usedIdx) return 0;
    pollfd called = {queue.call, POLLIN, 0};
    const int n = poll(&called, 1, kAnswerLimitMs);
    if (n == 0) return -ETIMEDOUT;
    if (n < 0 && errno != EINTR) return -errno;
    uint64_t count;
    [[maybe_unused]] const ssize_t drained = read(queue.call, &count, sizeof count);
  }
}

// stream({memory, descriptors, avail, used, size, eventIdx, kick, call, availIdx, usedIdx}, plan,
// depth): sends the requests of the plan (a Uint32Array of {table, bytes, reply}) with `depth` of
// them on their way. Returns {nanoseconds, failures, availIdx, usedIdx}, or -errno.
Napi::Value stream(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object given = info[0].As<Napi::Object>();
  Napi::Uint32Array planned = info[1].As<Napi::Uint32Array>();
  const uint32_t depth = info[2].As<Napi::Number>().Uint32Value();
  const auto number = [&given](const char* name) { return intOf(given.Get(name)); };
  uint8_t* memory =
      static_cast<uint8_t*>(given.Get("memory").As<Napi::ArrayBuffer>().Data());
  Queue queue = {
      reinterpret_cast<Descriptor*>(memory + number("descriptors")),
      reinterpret_cast<uint16_t*>(memory + number("avail")),
      reinterpret_cast<uint16_t*>(memory + number("used")),
      static_cast<uint16_t>(number("size")),
      given.Get("eventIdx").ToBoolean(),
      number("kick"),
      number("call"),
      static_cast<uint16_t>(number("availIdx")),
      static_cast<uint16_t>(number("usedIdx")),
  };
  const Planned* plan = reinterpret_cast<const Planned*>(planned.Data());
  const uint32_t count = static_cast<uint32_t>(planned.ElementLength() / 3);
  std::vector<uint32_t> answering(queue.size);
  uint32_t sent = 0;
  uint32_t done = 0;
  uint32_t failures = 0;
  uint16_t next = queue.availIdx;

  const double started = nowNs();
  while (sent < count && sent < depth && sent < queue.size) {
    answering[sent] = sent;
    offer(queue, static_cast<uint16_t>(sent), plan[sent], next++);
    sent++;
  }
  int failed = publish(queue, next) ? 0 : -errno;
  while (done < count && failed == 0) {
    failed = awaitUsed(queue);
    if (failed != 0) break;
    const uint16_t end = __atomic_load_n(&queue.used[1], __ATOMIC_ACQUIRE);
    while (queue.usedIdx != end) {
      const uint16_t head = static_cast<uint16_t>(queue.element(queue.usedIdx++)->id);
      if (head >= queue.size) return Napi::Number::New(env, -EPROTO);
      const int32_t error =
          *reinterpret_cast<const int32_t*>(memory + plan[answering[head]].reply + 4);
      if (error != 0) failures++;
      done++;
      if (sent < count) {
        answering[head] = sent;
        offer(queue, head, plan[sent++], next++);
      }
    }
    if (next != queue.availIdx && !publish(queue, next)) failed = -errno;
  }
  const double elapsed = nowNs() - started;
  if (failed != 0) return Napi::Number::New(env, failed);

  Napi::Object out = Napi::Object::New(env);
  out.Set("nanoseconds", Napi::Number::New(env, elapsed));
  out.Set("failures", Napi::Number::New(env, failures));
  out.Set("availIdx", Napi::Number::New(env, queue.availIdx));
  out.Set("usedIdx", Napi::Number::New(env, queue.usedIdx));
  return out;
}

}  // namespace

void defineStream(Napi::Env env, Napi::Object exports) {
  exports.Set("stream", Napi::Function::New(env, stream, "stream"));
}
