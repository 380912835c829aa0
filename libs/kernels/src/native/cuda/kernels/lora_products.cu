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
// As many values as they lie in memory.
template <typename Element, int words>
struct Stored {
  Pairs<words> pairs;
};
template <int words>
struct Stored<float, words> {
  FourFloats fours[words / 2];
};
// They in bfloat16, with what dropout does to those that begin at element `index` of a stream.
template <bool drops, int words>
LR_DEVICE Pairs<words> pairs_of(const Stored<float, words>& stored, int64_t index, const Drop& drop) {
  Pairs<words> pairs;
  LR_UNROLL
  for (int i = 0; i < words / 2; ++i) {
    FourFloats four = stored.fours[i];
    if constexpr (drops) four = dropped(four, drop, index + 4 * i);
    pairs.word[2 * i] = bf16_pair(four.value[0], four.value[1]);
    pairs.word[2 * i + 1] = bf16_pair(four.value[2], four.value[3]);
  }
  return pairs;
}
template <bool drops, int words>
LR_DEVICE Pairs<words> pairs_of(const Stored<uint16_t, words>& stored, int64_t index, const Drop& drop) {
  Pairs<words> pairs = stored.pairs;
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

// What a lane is going to multiply comes through shared memory, several steps ahead and each lane's by itself: no registers are taken while it is under
// way, and nobody waits for others. A stage is what the lanes of a block take in a step.
constexpr int kRingBytes = 96 << 10, kMostStages = 4;
constexpr int stages_of(int lane_bytes) { return std::clamp(kRingBytes / (lane_bytes * kThreads), 1, kMostStages); }

// The lane's own place for a T, `before` bytes of the lane's stage being before it.
template <typename T>
LR_DEVICE T* own_place(int64_t stage, int lane_bytes, int before) {
  return shared_at<T>((stage * lane_bytes + before) * kThreads + thread_index() * static_cast<int>(sizeof(T)));
}
// Asks for the T at `from`; zeros where nothing is there.
template <typename T>
LR_DEVICE void ask_for(T* own, const void* from, bool there) {
  static_assert(sizeof(T) == 8 || sizeof(T) == 16);
  if constexpr (sizeof(T) == 8) {
    copy_async8(own, from, there);
  } else {
    copy_async16(own, from, there);
  }
}

// 16 tokens a block: a few thousand of them fill a GPU. Warps take steps of 32 along k in turns; their sums are added in the order of warps. A lane holds
// eight values of a row that follow each other, of both operands alike: products go over k in any order.
constexpr int kTokens = 16, kDepth = 32, kOwn = 8;

template <int tiles, bool drops, typename Element>
LR_KERNEL_SHARING(kThreads, (tiles <= 2 && !drops ? 2 : 1)) multiply_narrow(Several<NarrowProduct> all, int count, SeveralPlaced<kBeside> beside) {
  constexpr int kWords = 8 / sizeof(Element), kPieces = kOwn / 2 / kWords;  // of 16 bytes in bfloat16, and how many of those a row has
  constexpr int kLaneBytes = 16 * (2 * kPieces + tiles), kStages = stages_of(kLaneBytes);
  using Piece = Stored<Element, kWords>;
  if (block_z() >= count) {  // all threads of the block alike
    if (block_y() == 0) place_elements(beside.of[block_z() - count]);
    return;
  }
  const NarrowProduct& p = all.of[block_z()];
  const int64_t first = block_x() * kTokens, first_tile = block_y() * tiles;
  if (first >= p.T || first_tile * kNarrow >= p.n) return;
  const int group = lane_index() / 4, part = lane_index() % 4, depth = static_cast<int>(p.k);
  const int64_t x_stride = p.k + rows_of<Element>(p.x, p.k).gap;
  const Element* x = rows_of<Element>(p.x, p.k).data + (first + group) * x_stride;
  const uint16_t* w = p.w + (first_tile * kNarrow + group) * p.w_stride;
  const auto column_of = [=](int step) { return (step * kWarps + warp_index()) * kDepth + part * kOwn; };
  const auto ask = [=, &p](int step) {
    const int column = column_of(step), stage = step % kStages;
    LR_UNROLL
    for (int row = 0; row < 2; ++row) {
      LR_UNROLL
      for (int piece = 0; piece < kPieces; ++piece) {
        ask_for(own_place<Piece>(stage, kLaneBytes, 16 * (row * kPieces + piece)), x + row * 8 * x_stride + column + piece * 2 * kWords,
                first + row * 8 + group < p.T && column < depth);
      }
    }
    LR_UNROLL
    for (int tile = 0; tile < tiles; ++tile) {
      ask_for(own_place<FourWords>(stage, kLaneBytes, 16 * (2 * kPieces + tile)), w + tile * kNarrow * p.w_stride + column,
              (first_tile + tile) * kNarrow + group < p.n && column < depth);
    }
    copy_commit();
  };
  float sums[tiles][4] = {};
  LR_UNROLL
  for (int step = 0; step < kStages; ++step) ask(step);
  for (int step = 0; (step * kWarps + warp_index()) * kDepth < depth; ++step) {
    copy_wait<kStages - 1>();
    uint32_t left[2][4];  // for the first and the last four values of the lane
    LR_UNROLL
    for (int row = 0; row < 2; ++row) {
      LR_UNROLL
      for (int piece = 0; piece < kPieces; ++piece) {
        const int64_t index = (first + row * 8 + group) * p.k + column_of(step) + piece * 2 * kWords;
        const auto values = pairs_of<drops>(*own_place<Piece>(step % kStages, kLaneBytes, 16 * (row * kPieces + piece)), index, p.drop);
        LR_UNROLL
        for (int i = 0; i < kWords; ++i) {
          const int word = piece * kWords + i;
          left[word / 2][row + word % 2 * 2] = values.word[i];
        }
      }
    }
    LR_UNROLL
    for (int tile = 0; tile < tiles; ++tile) {
      const FourWords right = *own_place<FourWords>(step % kStages, kLaneBytes, 16 * (2 * kPieces + tile));
      LR_UNROLL
      for (int half = 0; half < 2; ++half) multiply(sums[tile], left[half], right.word[2 * half], right.word[2 * half + 1]);
    }
    ask(step + kStages);
  }
  barrier();  // what was asked for has been read: the ring is free
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
    if (own < kTokens * kNarrow && column < p.n) {
      float sum = parts[own];
      for (int warp = 1; warp < kWarps; ++warp) sum += parts[warp * kTokens * kNarrow + own];
      const bool there = first + token < p.T;
      if (there) p.c[(first + token) * p.n + column] = sum;
      if (p.turned != nullptr) p.turned[column * p.turned_stride + first + token] = there ? bf16_bits(sum) : 0;
    }
    barrier();
  }
}

// The values of one of two columns, from the words of two rows.
LR_DEVICE uint32_t of_column(uint32_t first, uint32_t second, int column) {
  return column == 0 ? (first & 0xFFFFu) | second << 16 : first >> 16 | (second & 0xFFFF0000u);
}

// 32 columns of x a block. Warps take steps of 16 tokens in turns. A lane holds four columns of four tokens: those of x as they lie, so that lane group g
// has columns 4g … 4g + 3, one for each of four products.
constexpr int kColumns = 32, kStep = 16, kBlocks = 4;

template <int tiles, bool drops, typename Element>
LR_KERNEL(kThreads) sum_tokens(Several<TokenSum> all) {
  using Values = Stored<Element, 2>;
  constexpr int kHBytes = 8, kBefore = 4 * sizeof(Values), kLaneBytes = kBefore + 2 * tiles * kHBytes, kStages = stages_of(kLaneBytes);
  const TokenSum& p = all.of[block_z()];
  const int64_t first = block_x() * kColumns, first_row = block_y() * tiles * kTokenStep;
  if (first >= p.width || first_row >= p.n) return;
  const int group = lane_index() / 4, part = lane_index() % 4, tokens = static_cast<int>(p.T);
  const int64_t column = first + group * 4, x_stride = p.width + rows_of<Element>(p.x, p.width).gap;
  const Element* x = rows_of<Element>(p.x, p.width).data + column;
  const uint16_t* h = p.h + (first_row + group) * p.h_stride;
  const auto token_of = [=](int step) { return (step * kWarps + warp_index()) * kStep + part * 4; };
  const auto ask = [=, &p](int step) {
    const int token = token_of(step), stage = step % kStages;
    LR_UNROLL
    for (int i = 0; i < 4; ++i) {
      ask_for(own_place<Values>(stage, kLaneBytes, i * static_cast<int>(sizeof(Values))), x + (token + i) * x_stride,
              token + i < tokens && column < p.width);
    }
    LR_UNROLL
    for (int half = 0; half < 2 * tiles; ++half) {
      ask_for(own_place<Pairs<2>>(stage, kLaneBytes, kBefore + half * kHBytes), h + half * 8 * p.h_stride + token,
              token < tokens && first_row + half * 8 + group < p.n);
    }
    copy_commit();
  };
  float sums[tiles][kBlocks][4] = {};
  LR_UNROLL
  for (int step = 0; step < kStages; ++step) ask(step);
  for (int step = 0; (step * kWarps + warp_index()) * kStep < tokens; ++step) {
    copy_wait<kStages - 1>();
    Pairs<2> own[4];
    LR_UNROLL
    for (int i = 0; i < 4; ++i) {
      own[i] = pairs_of<drops>(*own_place<Values>(step % kStages, kLaneBytes, i * static_cast<int>(sizeof(Values))),
                               (token_of(step) + i) * p.width + column, p.drop);
    }
    LR_UNROLL
    for (int tile = 0; tile < tiles; ++tile) {
      uint32_t left[4];
      LR_UNROLL
      for (int half = 0; half < 2; ++half) {
        const Pairs<2> words = *own_place<Pairs<2>>(step % kStages, kLaneBytes, kBefore + (2 * tile + half) * kHBytes);
        left[half] = words.word[0];
        left[half + 2] = words.word[1];
      }
      LR_UNROLL
      for (int block = 0; block < kBlocks; ++block) {
        // Of a column the first two tokens, and the last two.
        const uint32_t low = of_column(own[0].word[block / 2], own[1].word[block / 2], block % 2);
        const uint32_t high = of_column(own[2].word[block / 2], own[3].word[block / 2], block % 2);
        multiply(sums[tile][block], left, low, high);
      }
    }
    ask(step + kStages);
  }
  barrier();  // what was asked for has been read: the ring is free
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

void narrow_products(const Run& run, std::span<const NarrowProduct> products, std::span<const Placed> beside) {
  std::span<const Placed> with_first = beside.first(std::min<size_t>(products.empty() ? 0 : kBeside, beside.size()));
  place_halves(run, beside.subspan(with_first.size()));
  with_tiles<kMostTiles>(ceil_div(widest(products), kNarrow), [&]<int tiles>() {
    const auto blocks = [](const NarrowProduct& p) { return Grid{ceil_div(p.T, kTokens), ceil_div(p.n, kNarrow * tiles)}; };
    in_launches(products, blocks, [&]<bool drops, typename Element>(const Several<NarrowProduct>& some, Grid grid) {
      const auto count = static_cast<int>(grid.z);
      grid.z += static_cast<int64_t>(with_first.size());
      launch(run, multiply_narrow<tiles, drops, Element>, grid, kThreads, kRingBytes, some, count, SeveralPlaced<kBeside>(with_first));
      with_first = {};
    });
  });
}

void token_sums(const Run& run, std::span<const TokenSum> sums) {
  with_tiles<kMostTiles / 2>(ceil_div(widest(sums), kTokenStep), [&]<int tiles>() {
    const auto blocks = [](const TokenSum& p) { return Grid{ceil_div(p.width, kColumns), ceil_div(p.n, kTokenStep * tiles)}; };
    in_launches(sums, blocks, [&]<bool drops, typename Element>(const Several<TokenSum>& some, Grid grid) {
      launch(run, sum_tokens<tiles, drops, Element>, grid, kThreads, kRingBytes, some);
    });
  });
}

}  // namespace lr::cuda
