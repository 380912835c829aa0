// Head and cross-entropy, a chunk of tokens at a time: logits, then in their place their gradient. Tokens without a target are left
// out before anything is computed.
#include "kernels.h"
#include "products.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;

// Rows `rows` of from [.., d], one after the other, and the other way round.
LR_KERNEL(kFlatThreads) gather_rows(const float* from, const int32_t* rows, float* to, int64_t n, int64_t d) {
  for (int64_t i = flat_begin(); i < n; i += flat_step()) to[i] = from[rows[i / d] * d + i % d];
}
LR_KERNEL(kFlatThreads) scatter_rows(const float* from, const int32_t* rows, float* to, int64_t n, int64_t d) {
  for (int64_t i = flat_begin(); i < n; i += flat_step()) to[rows[i / d] * d + i % d] = from[i];
}

struct Token {
  int32_t target;
  float grad_scale, smoothing;
};
struct TokenLoss {
  float loss;
  int32_t correct;
};

struct Best {
  float value;
  int index;
};

// The largest of a block's values, the lowest index of equals.
LR_DEVICE Best block_best(Best best) {
  const float largest = block_reduce<Max>(best.value, shared_at<float>(0));
  const int nearest = -block_reduce<Max>(best.value == largest ? -best.index : -INT32_MAX, shared_at<int>(0));
  return {largest, nearest};
}

// A row of logits a block: its loss and, when `gradient`, grad_scale · ∂loss/∂logits before the cap in its place.
LR_KERNEL(kThreads) row_loss(float* logits, int64_t vocab, const Token* tokens, float cap, TokenLoss* losses, bool gradient) {
  float* row = logits + block_x() * vocab;
  const Token token = tokens[block_x()];
  Best best = {-INFINITY, INT32_MAX};
  float plain = 0;
  for (int64_t i = thread_index(); i < vocab; i += kThreads) {
    const float logit = cap > 0 ? cap * tanhf(row[i] / cap) : row[i];
    if (cap > 0) row[i] = logit;
    if (logit > best.value) best = {logit, static_cast<int>(i)};
    plain += logit;
  }
  best = block_best(best);
  plain = block_reduce<Sum>(plain, shared_at<float>(0));
  float total = 0;
  for (int64_t i = thread_index(); i < vocab; i += kThreads) total += expf(row[i] - best.value);
  total = block_reduce<Sum>(total, shared_at<float>(0));
  const float lse = best.value + logf(total), share = token.smoothing / static_cast<float>(vocab);
  if (thread_index() == 0) {
    losses[block_x()].loss = lse - (1 - token.smoothing) * row[token.target] - share * plain;
    losses[block_x()].correct = best.index == token.target;
  }
  barrier();  // the target's logit has been read
  for (int64_t i = thread_index(); i < vocab && gradient; i += kThreads) {
    const float logit = row[i], slope = cap > 0 ? 1 - logit / cap * (logit / cap) : 1;
    const float wanted = (i == token.target ? 1 - token.smoothing : 0) + share;
    row[i] = token.grad_scale * (expf(logit - lse) - wanted) * slope;
  }
}

// The head as a product takes it, made once for all chunks.
Weight prepared(const Run& run, const Weight& head, Moment& moment) {
  if (run.compute == Compute::F32) return {Storage::F32, head.rows, head.cols, weight_floats(run, head, moment), {}};
  if (head.storage == Storage::BF16 || head.cols % 8 != 0) return head;  // as it is, or padded by every product
  return {Storage::BF16, head.rows, head.cols, weight_halves(run, head, moment).data, {}};
}

}  // namespace

void head_loss(const Run& run, const float* hidden, const Weight& head, const int32_t* targets, const float* grad_scale,
               const float* smoothing, int64_t chunk, float softcap, float* loss, uint8_t* correct, float* dhidden, int64_t T) {
  Moment moment(run);
  const int64_t vocab = head.rows, d = head.cols;
  std::vector<int32_t> rows;
  std::vector<Token> tokens;
  for (int64_t t = 0; t < T; ++t) {
    loss[t] = 0;
    correct[t] = 0;
    if (targets[t] < 0) continue;
    rows.push_back(static_cast<int32_t>(t));
    tokens.push_back({targets[t], grad_scale[t], smoothing == nullptr ? 0 : smoothing[t]});
  }
  const auto count = static_cast<int64_t>(rows.size());
  if (dhidden != nullptr) fill_zero(run.device, dhidden, static_cast<size_t>(T * d) * sizeof(float));
  if (count == 0) return;
  const Weight weight = prepared(run, head, moment);
  const auto* device_rows = moment.upload(run, rows.data(), count);
  const auto* device_tokens = moment.upload(run, tokens.data(), count);
  auto* device_losses = moment.take<TokenLoss>(count);
  chunk = std::min(chunk, count);
  auto* x = moment.take<float>(chunk * d);
  auto* logits = moment.take<float>(chunk * vocab);
  for (int64_t first = 0; first < count; first += chunk) {
    const int64_t some = std::min(chunk, count - first);
    launch(run, gather_rows, flat_grid(some * d), kFlatThreads, 0, hidden, device_rows + first, x, some * d, d);
    linear_forward(run, x, weight, nullptr, {}, logits, some);
    launch(run, row_loss, {some}, kThreads, kWarps * static_cast<int64_t>(sizeof(float)), logits, vocab, device_tokens + first, softcap,
           device_losses + first, dhidden != nullptr);
    if (dhidden == nullptr) continue;
    linear_backward(run, logits, weight, {}, x, some, false);
    launch(run, scatter_rows, flat_grid(some * d), kFlatThreads, 0, x, device_rows + first, dhidden, some * d, d);
  }
  std::vector<TokenLoss> losses(rows.size());
  copy_out(run.device, losses.data(), device_losses, losses.size() * sizeof(TokenLoss));
  for (size_t i = 0; i < rows.size(); ++i) {
    loss[rows[i]] = losses[i].loss;
    correct[rows[i]] = losses[i].correct != 0;
  }
}

}  // namespace lr::cuda
