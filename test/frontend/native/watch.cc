// Descriptors on Node's own event loop.
#include <uv.h>

#include "frontend.h"

namespace {

struct Watch {
  uv_poll_t poll;
  Napi::FunctionReference callback;
  Napi::AsyncContext context;
  napi_async_cleanup_hook_handle cleanup = nullptr;
  bool closing = false;

  Watch(Napi::Env env, Napi::Function function)
      : callback(Napi::Persistent(function)), context(env, "frontend-watch") {}
};

void closed(uv_handle_t* handle) {
  Watch* watch = static_cast<Watch*>(handle->data);
  if (watch->cleanup != nullptr) napi_remove_async_cleanup_hook(watch->cleanup);
  delete watch;
}

void closeWatch(Watch* watch) {
  if (watch->closing) return;
  watch->closing = true;
  uv_poll_stop(&watch->poll);
  uv_close(reinterpret_cast<uv_handle_t*>(&watch->poll), closed);
}

void ready(uv_poll_t* poll, int, int) {
  Watch* watch = static_cast<Watch*>(poll->data);
  Napi::Env env = watch->callback.Env();
  Napi::HandleScope scope(env);
  watch->callback.MakeCallback(env.Global(), {}, watch->context);
}

// watch(fd, callback): calls back as long as the descriptor is readable. Returns the function that
// ends it; it must be called before the descriptor is closed.
Napi::Value watch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  Watch* watch = new Watch(env, info[1].As<Napi::Function>());
  watch->poll.data = watch;
  if (uv_poll_init(loop, &watch->poll, intOf(info[0])) != 0) {
    delete watch;
    Napi::Error::New(env, "the descriptor cannot be watched").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  uv_poll_start(&watch->poll, UV_READABLE, ready);
  // A thread that ends with a watch still open would otherwise abort the process.
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle, void* data) { closeWatch(static_cast<Watch*>(data)); },
      watch, &watch->cleanup);
  return Napi::Function::New(env, [watch, done = false](const Napi::CallbackInfo&) mutable {
    if (!done) closeWatch(watch);
    done = true;
  });
}

}  // namespace

void defineWatch(Napi::Env env, Napi::Object exports) {
  exports.Set("watch", Napi::Function::New(env, watch, "watch"));
}
