#include "lora_products.h"

#include "dropout.h"
#include "operands.h"

namespace lr::cuda {
namespace {

constexpr int kWarps = 16, kThreads = 32 * kWarps;
constexpr int kMostTiles = 8, kNarrow = 8;  // of a narrow operand: tiles of eight columns
constexpr int kAtOnce = 32;                 // products of a launch: arguments have 4 KiB

template <typename Product>
struct Several {
  Product of[kAtOnce];
};

// Four floats with what dropout does to those that begin at element `index` of a stream, a multiple of four.
LR_DEVICE FourFloats dropped(FourFloats values, const Drop& drop, int64_t index) {
  const auto words = philox::block(drop.key, static_cast<uint64_t>(index) / 4);
  LR_UNROLL
  for (int i = 0; i < 4; ++i) {
    values.value[i] = uniform_of(words[static_cast<size_t>(i)]) < drop.probability ? 0.0f : values.value[i] * (1 / (1 - drop.probability));
  }
  return values;
}

// Values that follow each other in bfloat16, two a word.
template <int words>
struct alignas(4 * words) Pairs {
  uint32_t word[words];
};
// Those at x, with what dropout does to those that begin at element `index` of a stream; zeros where nothing is there.
template <bool drops, int words>
LR_DEVICE Pairs<words> read_pairs(const float* x, int64_t index, const Drop& drop, bool there) {
  Pairs<words> pairs = {};
  if (!there) return pairs;
  LR_UNROLL
  for (int i = 0; i < words / 2; ++i) {
    FourFloats four = reinterpret_cast<const FourFloats*>(x)[i];
    if constexpr (drops) four = dropped(four, drop, index + 4 * i);
    pairs.word[2 * i] = bf16_pair(four.value[0], four.value[1]);
    pairs.word[2 * i + 1] = bf16_pair(four.value[2], four.value[3]);
  }
  return pairs;
}
template <bool drops, int words>
LR_DEVICE Pairs<words> read_pairs(const uint16_t* x, int64_t index, const Drop& drop, bool there) {
  if (!there) return {};
  Pairs<words> pairs = *reinterpret_cast<const Pairs<words>*>(x);
  if constexpr (drops) {
    LR_UNROLL
    for (int i = 0; i < words; i += 2) {
      const uint32_t low = pairs.word[i], high = pairs.word[i + 1];
      const FourFloats four = dropped({{low_value(low), high_value(low), low_value(high), high_value(high)}}, drop, index + 2 * i);
      pairs.word[i] = bf16_pair(four.value[0], four.value[1]);
      pairs.word[i + 1] = bf16_pair(four.value[2], four.value[3]);
    }
  }
  return pairs;
}

// 16 tokens a block: a few thousand of them fill a GPU. Warps take steps of 32 along k in turns, two at a time where registers have room for what is
// then under way; their sums are added in the order of warps. A lane holds eight values of a row that follow each other, of both operands alike:
// products go over k in any order.
constexpr int kTokens = 16, kDepth = 32, kOwn = 8;

template <int tiles, bool drops, typename Element>
LR_KERNEL(kThreads) multiply_narrow(Several<NarrowProduct> all) {
  constexpr int kSteps = tiles <= 2 ? 2 : 1;
  const NarrowProduct& p = all.of[block_z()];
  const int64_t first = block_x() * kTokens, first_tile = block_y() * tiles;
  if (first >= p.T || first_tile * kNarrow >= p.n) return;
  const int group = lane_index() / 4, part = lane_index() % 4;
  const Rows<const Element> x = rows_of<Element>(p.x, p.k);
  float sums[tiles][4] = {};
  for (int64_t k = int64_t{warp_index()} * kDepth; k < p.k; k += kSteps * kWarps * kDepth) {
    uint32_t left[kSteps][2][4];  // for the first and the last four values of the lane
    FourWords right[kSteps][tiles];
    LR_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      const int64_t column = k + step * kWarps * kDepth + part * kOwn;
      LR_UNROLL
      for (int row = 0; row < 2; ++row) {
        const int64_t token = first + row * 8 + group, index = token * p.k + column;
        const Pairs<4> values = read_pairs<drops, 4>(x.data + index + token * x.gap, index, p.drop, token < p.T && column < p.k);
        LR_UNROLL
        for (int half = 0; half < 2; ++half) {
          left[step][half][row] = values.word[2 * half];
          left[step][half][row + 2] = values.word[2 * half + 1];
        }
      }
      LR_UNROLL
      for (int tile = 0; tile < tiles; ++tile) {
        const int64_t row = (first_tile + tile) * kNarrow + group;
        right[step][tile] = {};
        if (column < p.k && row < p.n) right[step][tile] = *reinterpret_cast<const FourWords*>(p.w + row * p.w_stride + column);
      }
    }
    LR_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      LR_UNROLL
      for (int tile = 0; tile < tiles; ++tile) {
        const FourWords& w = right[step][tile];
        LR_UNROLL
        for (int half = 0; half < 2; ++half) multiply(sums[tile], left[step][half], w.word[2 * half], w.word[2 * half + 1]);
      }
    }
  }
  auto* parts = shared_at<float>(0);  // [warps, tokens, 8] of a tile
  LR_UNROLL
  for (int tile = 0; tile < tiles; ++tile) {
    if ((first_tile + tile) * kNarrow >= p.n) continue;  // all threads of the block alike
    LR_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int token = group + i / 2 * 8, column = part * 2 + i % 2;
      parts[(warp_index() * kTokens + token) * kNarrow + column] = sums[tile][i];
    }
    barrier();
    const int own = thread_index(), token = own / kNarrow;
    const int64_t column = (first_tile + tile) * kNarrow + own % kNarrow;
    if (own < kTokens * kNarrow && first + token < p.T && column < p.n) {
      float sum = parts[own];
      for (int warp = 1; warp < kWarps; ++warp) sum += parts[warp * kTokens * kNarrow + own];
      p.c[(first + token) * p.n + column] = sum;
    }
    barrier();
  }
}

// The values of one of two columns, from the words of two rows.
LR_DEVICE uint32_t of_column(uint32_t first, uint32_t second, int column) {
  return column == 0 ? (first & 0xFFFFu) | second << 16 : first >> 16 | (second & 0xFFFF0000u);
}

// 32 columns of x a block. Warps take steps of 16 tokens in turns, two at a time as above. A lane holds four columns of four tokens: those of x as they lie, so that lane
// group g has columns 4g … 4g + 3, one for each of four products.
constexpr int kColumns = 32, kStep = 16, kBlocks = 4;

template <int tiles, bool drops, typename Element>
LR_KERNEL(kThreads) sum_tokens(Several<TokenSum> all) {
  constexpr int kSteps = tiles <= 1 ? 2 : 1;
  const TokenSum& p = all.of[block_z()];
  const int64_t first = block_x() * kColumns, first_row = block_y() * tiles * kTokenStep;
  if (first >= p.width || first_row >= p.n) return;
  const int group = lane_index() / 4, part = lane_index() % 4;
  const int64_t column = first + group * 4;
  const Rows<const Element> x = rows_of<Element>(p.x, p.width);
  float sums[tiles][kBlocks][4] = {};
  for (int64_t t = int64_t{warp_index()} * kStep; t < p.T; t += kSteps * kWarps * kStep) {
    Pairs<2> own[kSteps][4];
    uint32_t h[kSteps][tiles][4];
    LR_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      const int64_t begin = t + step * kWarps * kStep, token = begin + part * 4;
      LR_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int64_t index = (token + i) * p.width + column;
        own[step][i] = read_pairs<drops, 2>(x.data + index + (token + i) * x.gap, index, p.drop, token + i < p.T && column < p.width);
      }
      LR_UNROLL
      for (int tile = 0; tile < tiles; ++tile) {
        const int64_t row = first_row + tile * kTokenStep + group;
        LR_UNROLL
        for (int half = 0; half < 2; ++half) {
          const bool there = begin < p.T && row + 8 * half < p.n;
          const auto* words = reinterpret_cast<const uint32_t*>(p.h + (row + 8 * half) * p.h_stride + token);
          h[step][tile][half] = there ? words[0] : 0;
          h[step][tile][half + 2] = there ? words[1] : 0;
        }
      }
    }
    LR_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      LR_UNROLL
      for (int block = 0; block < kBlocks; ++block) {
        // Of a column the first two tokens, and the last two.
        const uint32_t low = of_column(own[step][0].word[block / 2], own[step][1].word[block / 2], block % 2);
        const uint32_t high = of_column(own[step][2].word[block / 2], own[step][3].word[block / 2], block % 2);
        LR_UNROLL
        for (int tile = 0; tile < tiles; ++tile) multiply(sums[tile][block], h[step][tile], low, high);
      }
    }
  }
  auto* parts = shared_at<float>(0);  // [warps, 16 rows, 32 columns] of a tile
  LR_UNROLL
  for (int tile = 0; tile < tiles; ++tile) {
    const int64_t row = first_row + tile * kTokenStep;
    if (row >= p.n) continue;  // all threads of the block alike
    LR_UNROLL
    for (int block = 0; block < kBlocks; ++block) {
      LR_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int own_row = group + i / 2 * 8, own_column = (part * 2 + i % 2) * 4 + block;
        parts[(warp_index() * kStep + own_row) * kColumns + own_column] = sums[tile][block][i];
      }
    }
    barrier();
    const int own = thread_index();  // one of 16 · 32
    const int64_t j = row + own / kColumns, i = first + own % kColumns;
    if (j < p.n && i < p.width) {
      float sum = parts[own];
      for (int warp = 1; warp < kWarps; ++warp) sum += parts[warp * kStep * kColumns + own];
      p.c[j * p.c_row + i * p.c_col] += p.factor * sum;
    }
    barrier();
  }
}
static_assert(kStep * kColumns == kThreads);

// Calls start.operator()<drops, Element>(some, grid) for as many at a time that are alike.
template <typename Product, typename Blocks, typename Start>
void in_launches(std::span<const Product> products, const Blocks& blocks, const Start& start) {
  const auto alike = [&]<bool drops, typename Element>() {
    Several<Product> some = {};
    Grid grid = {0, 0, 0};
    const auto flush = [&] {
      if (grid.z > 0) start.template operator()<drops, Element>(some, grid);
      some = {};
      grid = {0, 0, 0};
    };
    for (const Product& product : products) {
      if ((product.drop.probability > 0) != drops || (product.x.halves == nullptr) != std::is_same_v<Element, float>) continue;
      const Grid own = blocks(product);
      grid.x = std::max(grid.x, own.x);
      grid.y = std::max(grid.y, own.y);
      some.of[grid.z++] = product;
      if (grid.z == kAtOnce) flush();
    }
    flush();
  };
  alike.template operator()<false, float>();
  alike.template operator()<true, float>();
  alike.template operator()<false, uint16_t>();
  alike.template operator()<true, uint16_t>();
}

// Calls launch_with.template operator()<tiles>() for as many tiles as the widest has, up to kMostTiles.
template <int most, typename Launch>
void with_tiles(int64_t widest, const Launch& launch_with) {
  if constexpr (most > 1) {
    if (widest <= most / 2) return with_tiles<most / 2>(widest, launch_with);
  }
  launch_with.template operator()<most>();
}

template <typename Product>
int64_t widest(std::span<const Product> products) {
  int64_t n = 0;
  for (const Product& product : products) n = std::max(n, product.n);
  return n;
}

}  // namespace

void narrow_products(const Run& run, std::span<const NarrowProduct> products) {
  constexpr int64_t kShared = int64_t{kWarps} * kTokens * kNarrow * static_cast<int64_t>(sizeof(float));
  with_tiles<kMostTiles>(ceil_div(widest(products), kNarrow), [&]<int tiles>() {
    const auto blocks = [](const NarrowProduct& p) { return Grid{ceil_div(p.T, kTokens), ceil_div(p.n, kNarrow * tiles)}; };
    in_launches(products, blocks, [&]<bool drops, typename Element>(const Several<NarrowProduct>& some, Grid grid) {
      launch(run, multiply_narrow<tiles, drops, Element>, grid, kThreads, kShared, some);
    });
  });
}

void token_sums(const Run& run, std::span<const TokenSum> sums) {
  constexpr int64_t kShared = int64_t{kWarps} * kStep * kColumns * static_cast<int64_t>(sizeof(float));
  with_tiles<kMostTiles / 2>(ceil_div(widest(sums), kTokenStep), [&]<int tiles>() {
    const auto blocks = [](const TokenSum& p) { return Grid{ceil_div(p.width, kColumns), ceil_div(p.n, kTokenStep * tiles)}; };
    in_launches(sums, blocks, [&]<bool drops, typename Element>(const Several<TokenSum>& some, Grid grid) {
      launch(run, sum_tokens<tiles, drops, Element>, grid, kThreads, kShared, some);
    });
  });
}

}  // namespace lr::cuda
