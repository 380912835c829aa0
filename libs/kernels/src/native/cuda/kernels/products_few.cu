// Products of LoRA pairs for the few tokens of decoding, in floats: the pair's weights are read once for up to eight tokens, which sets the pace.
// An element is summed in one order whatever the number of tokens and of pairs. All pairs of a layer go in one launch: where each of them has its
// rows is the same for every layer and lies in memory once, and of a layer's own there are the addresses of its weights.
#include "products.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kTokens = 8;                 // of a block
constexpr int kStep = kThreads * kFour;    // values of a long sum that a block takes at a time
constexpr int kAhead = 4;                  // loads under way before the first is used

// Of a product, from the beginning of the first one's.
struct Rows {
  int64_t a, c;  // in floats
  int32_t m, n, k;
  float factor;
};

struct FewProducts {
  const float* a;
  const float* const* b;  // of each product
  float* c;
  const Rows* rows;
  bool add;
};

LR_DEVICE void store_few(const FewProducts& p, const Rows& rows, int64_t row, int64_t col, float sum) {
  float* c = p.c + rows.c + row * rows.n + col;
  *c = p.add ? *c + rows.factor * sum : rows.factor * sum;
}

// Values at … at + 3 of a row of k, zeros behind it. Rows are aligned when they begin at multiples of 16 bytes and are whole.
template <bool aligned>
LR_DEVICE FourFloats load_four(const float* row, int at, int k) {
  if constexpr (aligned) return at < k ? *reinterpret_cast<const FourFloats*>(row + at) : FourFloats{};
  FourFloats four = {};
  LR_UNROLL
  for (int i = 0; i < kFour; ++i) four.value[i] = at + i < k ? row[at + i] : 0.0f;
  return four;
}

// A long sum a block, as those over the inputs of a layer: thread t takes the values 4t … 4t + 3, 1024 + 4t …; lanes are added as a tree, warps in
// their order.
template <bool aligned>
LR_KERNEL(kThreads) multiply_long(FewProducts p) {
  const Rows rows = p.rows[block_z()];
  const int64_t first = block_x() * kTokens, col = block_y();
  const int k = rows.k;
  if (first >= rows.m || col >= rows.n) return;
  const float *a = p.a + rows.a + first * k, *b = p.b[block_z()] + col * k;
  const int count = static_cast<int>(rows.m - first < kTokens ? rows.m - first : kTokens);
  float sums[kTokens] = {};
  for (int begin = thread_index() * kFour; begin < k; begin += kAhead * kStep) {
    FourFloats own[kAhead];
    LR_UNROLL
    for (int i = 0; i < kAhead; ++i) own[i] = load_four<aligned>(b, begin + i * kStep, k);
    LR_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      if (t >= count) continue;  // all threads of the block alike
      LR_UNROLL
      for (int i = 0; i < kAhead; ++i) sums[t] = dot(load_four<aligned>(a + int64_t{t} * k, begin + i * kStep, k), own[i], sums[t]);
    }
  }
  auto* parts = shared_at<float>(0);  // [warps, tokens]
  LR_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    if (t >= count) continue;
    const float sum = warp_reduce<Sum>(sums[t]);
    if (lane_index() == 0) parts[warp_index() * kTokens + t] = sum;
  }
  barrier();
  const int token = thread_index();
  if (token >= count) return;
  float sum = parts[token];
  for (int warp = 1; warp < kWarps; ++warp) sum += parts[warp * kTokens + token];
  store_few(p, rows, first + token, col, sum);
}

// Short sums, as those over a rank: one column a thread.
template <bool aligned>
LR_KERNEL(kThreads) multiply_short(FewProducts p) {
  const Rows rows = p.rows[block_z()];
  const int64_t first = block_x() * kTokens, col = block_y() * kThreads + thread_index();
  const int k = rows.k;
  if (first >= rows.m || col >= rows.n) return;
  const float *a = p.a + rows.a + first * k, *b = p.b[block_z()] + col * k;
  const int count = static_cast<int>(rows.m - first < kTokens ? rows.m - first : kTokens);
  float sums[kTokens] = {};
  for (int begin = 0; begin < k; begin += kAhead * kFour) {
    FourFloats own[kAhead];
    LR_UNROLL
    for (int i = 0; i < kAhead; ++i) own[i] = load_four<aligned>(b, begin + i * kFour, k);
    LR_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      if (t >= count) continue;
      LR_UNROLL
      for (int i = 0; i < kAhead; ++i) sums[t] = dot(load_four<aligned>(a + int64_t{t} * k, begin + i * kFour, k), own[i], sums[t]);
    }
  }
  LR_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    if (t < count) store_few(p, rows, first + t, col, sums[t]);
  }
}

// Calls start(FewProducts, Grid, whether all rows are aligned) for as many products as a grid has layers.
template <typename Start>
void start_products(const Run& run, std::span<const FloatProduct> products, int64_t tile_n, const Start& start) {
  for (; !products.empty(); products = products.subspan(std::min<size_t>(products.size(), kMostBlocks))) {
    const auto some = products.first(std::min<size_t>(products.size(), kMostBlocks));
    const FloatProduct& front = some.front();
    const auto floats_between = [](const float* from, const float* to) {
      return (reinterpret_cast<intptr_t>(to) - reinterpret_cast<intptr_t>(from)) / static_cast<intptr_t>(sizeof(float));
    };
    std::vector<Rows> rows;
    std::vector<const float*> weights;
    Grid grid = {0, 0, static_cast<int64_t>(some.size())};
    bool aligned = true;
    for (const FloatProduct& p : some) {
      rows.push_back({floats_between(front.a.at, p.a.at), floats_between(front.c, p.c), static_cast<int32_t>(p.m), static_cast<int32_t>(p.n),
                      static_cast<int32_t>(p.k), p.factor});
      weights.push_back(p.b.at);
      grid.x = std::max(grid.x, ceil_div(p.m, kTokens));
      grid.y = std::max(grid.y, ceil_div(p.n, tile_n));
      const auto address = reinterpret_cast<uintptr_t>(p.a.at) | reinterpret_cast<uintptr_t>(p.b.at);
      aligned = aligned && p.k % kFour == 0 && address % sizeof(FourFloats) == 0;
    }
    Moment moment(run);
    const auto count = static_cast<int64_t>(some.size());
    start(FewProducts{front.a.at, moment.upload(run, weights.data(), count), front.c, moment.upload(run, rows.data(), count), front.add}, grid, aligned);
  }
}

}  // namespace

void products_long(const Run& run, std::span<const FloatProduct> products) {
  start_products(run, products, 1, [&](const FewProducts& some, Grid grid, bool aligned) {
    launch(run, aligned ? multiply_long<true> : multiply_long<false>, grid, kThreads, int64_t{kWarps} * kTokens * static_cast<int64_t>(sizeof(float)),
           some);
  });
}

void products_short(const Run& run, std::span<const FloatProduct> products) {
  start_products(run, products, kThreads,
              [&](const FewProducts& some, Grid grid, bool aligned) { launch(run, aligned ? multiply_short<true> : multiply_short<false>, grid, kThreads, 0, some); });
}

}  // namespace lr::cuda
