// Head and cross-entropy, a chunk of tokens at a time. Logits are floats for some tokens of a chunk only; what is kept of the whole chunk is their
// gradient in bfloat16, so that the product with it has rows enough to fill a GPU. Tokens without a target are left out before anything is computed.
#include "kernels.h"
#include "operands.h"
#include "products.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
// Tokens whose logits are floats at one time: a product of so many reads the head no faster than it multiplies.
constexpr int64_t kFloatRows = 256;
constexpr int kBlocksAtOnce = 2;  // of so many rows, on a multiprocessor

// Rows `rows` of from [.., d], one after the other,
LR_KERNEL(kFlatThreads) gather_rows(const float* from, const int32_t* rows, float* to, int64_t n, int64_t d) {
  for (int64_t i = flat_begin(); i < n; i += flat_step()) to[i] = from[rows[i / d] * d + i % d];
}
// the same in bfloat16, in eights,
LR_KERNEL(kFlatThreads) gather_eights(Rows<const uint16_t> from, const int32_t* rows, uint16_t* to, int64_t eights, uint32_t per_row) {
  for (int64_t i = flat_begin(); i < eights; i += flat_step()) {
    const uint32_t row = static_cast<uint32_t>(i) / per_row, eight = static_cast<uint32_t>(i) % per_row;
    const uint16_t* own = from.data + rows[row] * (int64_t{per_row} * kEight + from.gap) + eight * kEight;
    reinterpret_cast<FourWords*>(to)[i] = *reinterpret_cast<const FourWords*>(own);
  }
}
// and the other way round.
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

// Logits as they come from the product, capped as they are read.
struct Logits {
  const float* row;
  float cap;
  LR_DEVICE_MEMBER float stored(int64_t i, int64_t vocab) const { return i < vocab ? row[i] : 0; }
  LR_DEVICE_MEMBER float capped(float logit) const { return cap > 0 ? cap * tanhf(logit / cap) : logit; }
  LR_DEVICE_MEMBER float at(int64_t i) const { return capped(row[i]); }
};

// Calls f(i, capped logit) for a thread's own elements of a row below `end`, whose logits beyond the vocabulary are those of 0. It asks for kAhead of
// them at once: a multiprocessor has few blocks.
template <int kAhead, typename F>
LR_DEVICE void each_logit(const Logits& logits, int64_t vocab, int64_t end, const F& f) {
  for (int64_t first = thread_index(); first < end; first += kAhead * kThreads) {
    float ahead[kAhead];
    LR_UNROLL
    for (int j = 0; j < kAhead; ++j) ahead[j] = logits.stored(first + j * kThreads, vocab);
    LR_UNROLL
    for (int j = 0; j < kAhead; ++j) {
      const int64_t i = first + j * kThreads;
      if (i >= end) break;
      f(i, logits.capped(ahead[j]));
    }
  }
}

// What a row's softmax needs: the largest logit, log Σ exp, and the plain sum. One pass, in which every thread keeps its own maximum.
struct RowSums {
  Best best;
  float lse, plain;
};
LR_DEVICE RowSums sum_row(const Logits& logits, int64_t vocab) {
  Best own = {-INFINITY, INT32_MAX};
  float total = 0, plain = 0;
  each_logit<16>(logits, vocab, vocab, [&](int64_t i, float logit) {
    if (logit > own.value) {
      total *= expf(own.value - logit);
      own = {logit, static_cast<int>(i)};
    }
    total += expf(logit - own.value);
    plain += logit;
  });
  const Best best = block_best(own);
  // A thread without a logit has a total of 0 and no largest one.
  total = own.value == -INFINITY ? total : total * expf(own.value - best.value);
  total = block_reduce<Sum>(total, shared_at<float>(0));
  return {best, best.value + logf(total), block_reduce<Sum>(plain, shared_at<float>(0))};
}

// Where gradients of logits go, rows `stride` apart.
template <typename Element>
struct LogitGradients {
  Element* at;  // null: nowhere
  int64_t stride;
};

// A row of logits a block: its loss and grad_scale · ∂loss/∂logits before the cap. Floats may go to the place of the logits; bfloat16 has zeros up
// to its stride.
template <typename Out>
LR_KERNEL_SHARING(kThreads, kBlocksAtOnce) row_loss(const float* all, int64_t vocab, const Token* tokens, float cap, TokenLoss* losses, LogitGradients<Out> gradients) {
  const float* row = all + block_x() * vocab;
  const Logits logits = {row, cap};
  const Token token = tokens[block_x()];
  const RowSums sums = sum_row(logits, vocab);
  const float share = token.smoothing / static_cast<float>(vocab);
  if (thread_index() == 0) {
    losses[block_x()].loss = sums.lse - (1 - token.smoothing) * logits.at(token.target) - share * sums.plain;
    losses[block_x()].correct = sums.best.index == token.target;
  }
  if (gradients.at == nullptr) return;
  barrier();  // the target's logit has been read
  Out* out = gradients.at + block_x() * gradients.stride;
  each_logit<8>(logits, vocab, gradients.stride, [&](int64_t i, float logit) {
    const float slope = cap > 0 ? 1 - logit / cap * (logit / cap) : 1;
    const float wanted = (i == token.target ? 1 - token.smoothing : 0) + share;
    store(out + i, i < vocab ? token.grad_scale * (expf(logit - sums.lse) - wanted) * slope : 0.0f);
  });
}

// The head as a product takes it, made once for all chunks.
Weight prepared(const Run& run, const Weight& head, Moment& moment) {
  if (run.compute == Compute::F32) return {Storage::F32, head.rows, head.cols, weight_floats(run, head, moment), {}};
  if (head.storage == Storage::BF16 || head.cols % 8 != 0) return head;  // as it is, or padded by every product
  return {Storage::BF16, head.rows, head.cols, weight_halves(run, head, moment).data, {}};
}

}  // namespace

void head_loss(const Run& run, Operand hidden, const Weight& head, const int32_t* targets, const float* grad_scale,
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
  chunk = std::min(chunk, count);
  // A chunk of floats has its gradients in the place of its logits; one in bfloat16 has memory for them, and few logits at a time.
  const bool in_halves = run.compute == Compute::BF16 && dhidden != nullptr;
  const int64_t at_once = dhidden == nullptr || in_halves ? std::min(chunk, kFloatRows) : chunk;
  const int64_t stride = halves_stride(vocab);
  auto* halves = in_halves ? moment.take<uint16_t>(chunk * stride) : nullptr;
  auto* logits = moment.take<float>(std::max(at_once * vocab, in_halves ? chunk * d : 0));
  auto* x = hidden.halves == nullptr ? moment.take<float>(at_once * d) : nullptr;
  auto* x_halves = hidden.halves == nullptr ? nullptr : moment.take<uint16_t>(at_once * d);
  float* dx = in_halves ? logits : x;  // what they held is not needed any more then
  const auto* device_rows = moment.upload(run, rows.data(), count);
  const auto* device_tokens = moment.upload(run, tokens.data(), count);
  auto* device_losses = moment.take<TokenLoss>(count);
  const auto gathered = [&](const int32_t* some_rows, int64_t some) -> Operand {
    if (hidden.halves == nullptr) {
      launch(run, gather_rows, flat_grid(some * d), kFlatThreads, 0, hidden.floats, some_rows, x, some * d, d);
      return x;
    }
    const int64_t eights = some * d / kEight;
    launch(run, gather_eights, flat_grid(eights), kFlatThreads, 0, rows_of<uint16_t>(hidden, d), some_rows, x_halves, eights,
           static_cast<uint32_t>(d / kEight));
    return {x_halves, d};
  };
  const auto losses_of = [&]<typename Out>(int64_t first, int64_t some, LogitGradients<Out> gradients) {
    launch(run, row_loss<Out>, {some}, kThreads, kWarps * static_cast<int64_t>(sizeof(float)), logits, vocab, device_tokens + first, softcap,
           device_losses + first, gradients);
  };
  for (int64_t first = 0; first < count; first += chunk) {
    const int64_t some = std::min(chunk, count - first);
    for (int64_t done = 0; done < some; done += at_once) {
      const int64_t few = std::min(at_once, some - done);
      linear_forward(run, gathered(device_rows + first + done, few), weight, nullptr, {}, logits, few);
      if (in_halves) {
        losses_of(first + done, few, LogitGradients<uint16_t>{halves + done * stride, stride});
      } else {
        losses_of(first + done, few, LogitGradients<float>{dhidden == nullptr ? nullptr : logits, vocab});
      }
    }
    if (dhidden == nullptr) continue;
    if (in_halves) {
      Moment own(run);
      product_halves(run, {halves, stride}, weight_halves(run, weight, own), Right::Columns, dx, some, d, vocab, false);
    } else {
      linear_backward(run, logits, weight, {}, dx, some, false);
    }
    launch(run, scatter_rows, flat_grid(some * d), kFlatThreads, 0, dx, device_rows + first, dhidden, some * d, d);
  }
  std::vector<TokenLoss> losses(rows.size());
  copy_out(run.device, losses.data(), device_losses, losses.size() * sizeof(TokenLoss));
  for (size_t i = 0; i < rows.size(); ++i) {
    loss[rows[i]] = losses[i].loss;
    correct[rows[i]] = losses[i].correct != 0;
  }
}

}  // namespace lr::cuda
