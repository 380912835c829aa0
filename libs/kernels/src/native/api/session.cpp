#include <algorithm>

#include "../model/sampling.h"
#include "checks.h"

using namespace lr;

namespace {

lr_context* context_of(const lr_session* session) { return session == nullptr ? nullptr : session->base->context; }

}  // namespace

extern "C" {

lr_status lr_session_create(lr_base* base, lr_adapter* adapter, uint32_t capacity, lr_session** session) {
  return guarded(base == nullptr ? nullptr : base->context, [&] {
    require(session, "session");
    *session = nullptr;
    if (adapter != nullptr && adapter->base != base) fail(LR_INVALID_ARGUMENT, "the adapter belongs to another base");
    *session = new lr_session{base, Session(base->base, adapter == nullptr ? nullptr : &adapter->adapter, capacity)};
  });
}

void lr_session_destroy(lr_session* session) { delete session; }

lr_status lr_session_append(lr_session* session, const int32_t* tokens, uint32_t n, lr_cancel* cancel) {
  return guarded_turn(context_of(session), [&](Runtime& runtime) {
    require(tokens, "tokens");
    Session& s = session->session;
    if (n == 0) fail(LR_INVALID_ARGUMENT, "no tokens to append");
    if (n > s.room()) {
      fail(LR_INVALID_ARGUMENT, "%u tokens do not fit: the session has %lld and room for %lld more", n,
           static_cast<long long>(s.length()), static_cast<long long>(s.room()));
    }
    check_tokens(tokens, n, "tokens", 0, s.config().vocab);
    s.append(runtime, tokens, n, flag_of(cancel));
  });
}

lr_status lr_session_logits(lr_session* session, float* logits) {
  return guarded(context_of(session), [&] {
    require(logits, "logits");
    const Session& s = session->session;
    const float* from = s.logits();
    std::copy(from, from + s.config().vocab, logits);
  });
}

lr_status lr_session_sample(lr_session* session, const lr_sampling* sampling, int32_t* token) {
  return guarded(context_of(session), [&] {
    require(sampling, "sampling");
    require(token, "token");
    const Session& s = session->session;
    check_sampling(*sampling, s.config().vocab, "");
    lr_sampling here = *sampling;
    here.position = static_cast<uint64_t>(s.length());
    *token = sample_token(s.logits(), s.config().vocab, here);
  });
}

}  // extern "C"
