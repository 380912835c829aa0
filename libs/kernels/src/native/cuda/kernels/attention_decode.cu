// Attention of decoding: one query a sequence over its pages, in floats. Reading keys and values sets the pace, so that a block has all query heads
// of a key head, and has all of its keys and values under way before it uses the first.
//
// Keys are parted by their positions alone, a block each; what the parts of a sequence come to is added in their order by a second kernel. So the
// bytes of a sequence depend on its own length, whatever else is in the batch.
#include "attention_decode.h"

#include <bit>

#include "weights.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kMostHeads = 8;        // query heads of a block
constexpr int kTileFloats = 8192;    // of the keys of a block, and of its values
constexpr int kChunk = kFour;        // floats that are copied at once

// Keys of a sequence at the positions of one part.
struct Part {
  int32_t sequence;  // in the batch; negative: there is none
  int32_t key;       // the first position
  int32_t last;      // position of the query, the last one that it sees
  int32_t pages;     // where the sequence's table begins
};

// Parts of a sequence.
struct Parts {
  int32_t first, count;
};

struct Decode {
  Attention a;
  const float* q;           // [sequences, Hq, D]
  const float *k, *v;       // of the cache
  const int32_t* pages;
  int32_t page_tokens;
  int32_t group;            // query heads of a key head
  int32_t blocks;           // that they are shared out to, one after the other
  const Part* parts;
  float* sums;              // [parts, Hq, D], of sequences with several parts: sums of weighted values
  float* weights;           // [parts, Hq, 2]: the largest score, and the sum of weights
  float* o;                 // [sequences, Hq, D]
};

// Of a key, by head.
template <int kHeads>
struct alignas(kHeads % kFour == 0 ? 16 : 4) KeyWeights {
  float of[kHeads];
};

// Heads up to kWidth wide, kHeads of them in a block.
template <int kWidth, int kHeads>
struct Shape {
  static constexpr int kKeys = kTileFloats / kWidth;      // of a part
  static constexpr int kLanes = kThreads / kKeys;         // threads that share a key's products
  static constexpr int kChunks = kWidth / kChunk;         // of a row
  static constexpr int kOwnChunks = kChunks / kLanes;
  static constexpr int kTurns = kThreads / kChunks;       // threads that share a column of the values
  // In shared memory, in floats.
  static constexpr int kKeysAt = 0, kValuesAt = kTileFloats, kQueriesAt = 2 * kTileFloats, kScoresAt = kQueriesAt + kHeads * kWidth;
  static constexpr int kResultsAt = kScoresAt + kKeys * kHeads;  // [heads, 2]
  static constexpr int kRowsAt = kResultsAt + 2 * kHeads;        // [keys] integers
  static constexpr int64_t kBytes = int64_t{kRowsAt + kKeys} * static_cast<int64_t>(sizeof(float));
  static_assert(kHeads * kWidth * kTurns <= kTileFloats && kHeads <= kWarps);

  // Where a chunk of a row lies: turned, so that eight threads that share keys read from different banks.
  LR_DEVICE_MEMBER static int place(int row, int chunk) { return (row * kChunks + (chunk ^ (row * kLanes & 7))) * kChunk; }
};

// Asks for the rows of a part from a key head's keys or values; they are zeros where a row is negative.
template <typename S>
LR_DEVICE void fetch_rows(int at, const float* from, const int32_t* rows, int64_t stride, int64_t D) {
  for (int piece = thread_index(); piece < kTileFloats / kChunk; piece += block_threads()) {
    const int key = piece / S::kChunks, chunk = piece % S::kChunks;
    const bool valid = rows[key] >= 0 && chunk * kChunk < D;
    copy_async16(shared_at<float>(0) + at + S::place(key, chunk), valid ? from + rows[key] * stride + chunk * kChunk : from, valid);
  }
  copy_commit();
}

template <int kWidth, int kHeads>
LR_KERNEL_SHARING(kThreads, (kHeads < kMostHeads ? 3 : 2)) attend_part(Decode d) {
  using S = Shape<kWidth, kHeads>;
  const Part part = d.parts[block_x()];
  if (part.sequence < 0) return;
  const int key_head = static_cast<int>(block_y()) / d.blocks, first_head = static_cast<int>(block_y()) % d.blocks * kHeads;
  const int64_t D = d.a.D, first_query = key_head * d.group + first_head;
  const int64_t query = part.sequence * d.a.Hq + first_query;  // row of the first head's
  const int heads = d.group - first_head < kHeads ? d.group - first_head : kHeads;
  const int64_t first_seen = first_key(d.a, part.last);
  auto* floats = shared_at<float>(0);

  auto* rows = shared_at<int32_t>(4 * S::kRowsAt);  // of a key in the cache; negative: nobody sees it
  if (thread_index() < S::kKeys) {
    const int position = part.key + thread_index();
    const bool seen = position >= first_seen && position <= part.last;
    rows[thread_index()] = seen ? d.pages[part.pages + position / d.page_tokens] * d.page_tokens + position % d.page_tokens : -1;
  }
  barrier();
  fetch_rows<S>(S::kKeysAt, d.k + key_head * D, rows, d.a.Hkv * D, D);
  fetch_rows<S>(S::kValuesAt, d.v + key_head * D, rows, d.a.Hkv * D, D);
  for (int i = thread_index(); i < kHeads * kWidth; i += kThreads) {
    const int head = i / kWidth, column = i % kWidth;
    floats[S::kQueriesAt + i] = head < heads && column < D ? d.q[(query + head) * D + column] : 0.0f;
  }
  copy_wait<1>();
  barrier();

  {
    const int key = thread_index() / S::kLanes, lane = thread_index() % S::kLanes;
    float scores[kHeads] = {};
    LR_UNROLL
    for (int i = 0; i < S::kOwnChunks; ++i) {
      const int chunk = lane + i * S::kLanes;
      const FourFloats own = *shared_at<FourFloats>(4 * (S::kKeysAt + S::place(key, chunk)));
      LR_UNROLL
      for (int head = 0; head < kHeads; ++head)
        scores[head] = dot(*shared_at<FourFloats>(4 * (S::kQueriesAt + head * kWidth + chunk * kChunk)), own, scores[head]);
    }
    LR_UNROLL
    for (int head = 0; head < kHeads; ++head) {
      float slope;
      const float product = row_reduce<Sum, S::kLanes>(scores[head]);
      if (lane == head % S::kLanes) floats[S::kScoresAt + key * kHeads + head] = rows[key] >= 0 ? capped(d.a, product, slope) : -INFINITY;
    }
  }
  barrier();
  if (warp_index() < kHeads) {
    auto* scores = floats + S::kScoresAt + warp_index();
    float largest = -INFINITY, total = 0;
    for (int key = lane_index(); key < S::kKeys; key += 32) largest = Max::join(largest, scores[key * kHeads]);
    largest = warp_reduce<Max>(largest);
    for (int key = lane_index(); key < S::kKeys; key += 32) {
      const float weight = expf(scores[key * kHeads] - largest);
      scores[key * kHeads] = weight;
      total += weight;
    }
    total = warp_reduce<Sum>(total);
    if (lane_index() == 0) {
      floats[S::kResultsAt + 2 * warp_index()] = largest;
      floats[S::kResultsAt + 2 * warp_index() + 1] = total;
    }
  }
  copy_wait<0>();
  barrier();

  {
    const int chunk = thread_index() % S::kChunks, turn = thread_index() / S::kChunks;
    FourFloats own[kHeads] = {};
    LR_UNROLL
    for (int i = 0; i < S::kKeys / S::kTurns; ++i) {
      const int key = turn + i * S::kTurns;
      const KeyWeights<kHeads> weights = *shared_at<KeyWeights<kHeads>>(4 * (S::kScoresAt + key * kHeads));
      const FourFloats value = *shared_at<FourFloats>(4 * (S::kValuesAt + S::place(key, chunk)));
      LR_UNROLL
      for (int head = 0; head < kHeads; ++head) {
        LR_UNROLL
        for (int j = 0; j < kFour; ++j) own[head].value[j] = fused(weights.of[head], value.value[j], own[head].value[j]);
      }
    }
    // Where the keys were: all are done with them.
    LR_UNROLL
    for (int head = 0; head < kHeads; ++head)
      *shared_at<FourFloats>(4 * (S::kKeysAt + (turn * kHeads + head) * kWidth + chunk * kChunk)) = own[head];
  }
  barrier();
  const bool alone = first_seen / S::kKeys == part.last / S::kKeys;
  for (int i = thread_index(); i < heads * kWidth; i += kThreads) {
    const int head = i / kWidth, column = i % kWidth;
    if (column >= D) continue;
    float sum = floats[S::kKeysAt + i];
    for (int turn = 1; turn < S::kTurns; ++turn) sum += floats[S::kKeysAt + turn * kHeads * kWidth + i];
    if (alone) {
      d.o[(query + head) * D + column] = sum / floats[S::kResultsAt + 2 * head + 1];
    } else {
      const int64_t row = block_x() * d.a.Hq + first_query + head;
      d.sums[row * D + column] = sum;
      if (column < 2) d.weights[2 * row + column] = floats[S::kResultsAt + 2 * head + column];
    }
  }
}

// What the parts of a sequence come to, for one head: warp w takes the parts w, w + 8, …, and warps are added in their order.
LR_KERNEL(kThreads) add_parts(Decode d, const Parts* sequences) {
  const Parts parts = sequences[block_x()];
  if (parts.count < 2) return;
  const int64_t D = d.a.D, head = block_y();
  const auto row_of = [&](int part) { return (int64_t{parts.first} + part) * d.a.Hq + head; };
  constexpr int kColumns = 8;  // of a lane: heads are at most 256 wide
  auto* sums = shared_at<float>(0);                         // [warps, D]
  auto* totals = shared_at<float>(kWarps * D * 4);          // [warps]
  float largest = -INFINITY, total = 0, own[kColumns] = {};
  for (int part = thread_index(); part < parts.count; part += kThreads) largest = Max::join(largest, d.weights[2 * row_of(part)]);
  largest = block_reduce<Max>(largest, totals);
  for (int part = warp_index(); part < parts.count; part += kWarps) {
    const int64_t row = row_of(part);
    const float weight = expf(d.weights[2 * row] - largest);
    total = fused(weight, d.weights[2 * row + 1], total);
    LR_UNROLL
    for (int i = 0; i < kColumns; ++i) {
      const int64_t column = lane_index() + i * 32;
      if (column < D) own[i] = fused(weight, d.sums[row * D + column], own[i]);
    }
  }
  LR_UNROLL
  for (int i = 0; i < kColumns; ++i) {
    const int64_t column = lane_index() + i * 32;
    if (column < D) sums[warp_index() * D + column] = own[i];
  }
  if (lane_index() == 0) totals[warp_index()] = total;
  barrier();
  const int column = thread_index();
  if (column >= D) return;
  float sum = sums[column], all = totals[0];
  for (int warp = 1; warp < kWarps; ++warp) {
    sum += sums[warp * D + column];
    all += totals[warp];
  }
  d.o[(block_x() * d.a.Hq + head) * D + column] = sum / all;
}

// A little more than n, so that what is started stays the same while sequences grow.
int64_t with_room(int64_t n) { return round_up(n, std::max<int64_t>(16, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n))) / 8)); }

template <int kWidth, int kHeads>
void attend_sequences(const Run& run, Decode d, const PagedSequence* sequences, int64_t n_sequences) {
  using S = Shape<kWidth, kHeads>;
  std::vector<Part> parts;
  std::vector<Parts> of_sequences;
  std::vector<int32_t> pages;
  for (int64_t s = 0; s < n_sequences; ++s) {
    const auto last = static_cast<int32_t>(sequences[s].past), table = static_cast<int32_t>(pages.size());
    pages.insert(pages.end(), sequences[s].pages, sequences[s].pages + last / d.page_tokens + 1);
    const auto first = static_cast<int32_t>(parts.size());
    const int64_t seen = d.a.window > 0 ? std::max<int64_t>(last + 1 - d.a.window, 0) : 0;
    for (auto key = static_cast<int32_t>(seen / S::kKeys * S::kKeys); key <= last; key += S::kKeys)
      parts.push_back({static_cast<int32_t>(s), key, last, table});
    of_sequences.push_back({first, static_cast<int32_t>(parts.size()) - first});
  }
  const bool several = static_cast<int64_t>(parts.size()) > n_sequences;
  const int64_t count = with_room(static_cast<int64_t>(parts.size()));
  parts.resize(static_cast<size_t>(count), {-1, 0, 0, 0});
  pages.resize(std::bit_ceil(pages.size()));
  Moment moment(run);
  d.blocks = static_cast<int32_t>(ceil_div(d.group, kHeads));
  d.parts = moment.upload(run, parts.data(), count);
  d.pages = moment.upload(run, pages.data(), static_cast<int64_t>(pages.size()));
  if (several) {
    d.sums = moment.take<float>(count * d.a.Hq * d.a.D);
    d.weights = moment.take<float>(count * d.a.Hq * 2);
  }
  launch(run, attend_part<kWidth, kHeads>, {count, d.a.Hkv * d.blocks}, kThreads, S::kBytes, d);
  if (!several) return;
  const Parts* placed = moment.upload(run, of_sequences.data(), n_sequences);
  launch(run, add_parts, {n_sequences, d.a.Hq}, kThreads, kWarps * (d.a.D + 1) * static_cast<int64_t>(sizeof(float)), d, placed);
}

template <int kWidth>
void attend_width(const Run& run, const Decode& d, const PagedSequence* sequences, int64_t n_sequences) {
  if (d.group == 1) return attend_sequences<kWidth, 1>(run, d, sequences, n_sequences);
  if (d.group <= 4) return attend_sequences<kWidth, 4>(run, d, sequences, n_sequences);
  attend_sequences<kWidth, kMostHeads>(run, d, sequences, n_sequences);
}

}  // namespace

bool suits_decode(const Attention& a) { return a.D % kChunk == 0 && a.D <= 256; }

void attention_decode(const Run& run, const Attention& a, const float* q, const PagedKeys& cache, const PagedSequence* sequences, int64_t n_sequences,
                      float* o) {
  Decode d = {};
  d.a = a;
  d.group = static_cast<int32_t>(a.Hq / a.Hkv);
  d.q = q;
  d.k = cache.k;
  d.v = cache.v;
  d.page_tokens = static_cast<int32_t>(cache.page_tokens);
  d.o = o;
  if (a.D <= 64) return attend_width<64>(run, d, sequences, n_sequences);
  if (a.D <= 128) return attend_width<128>(run, d, sequences, n_sequences);
  attend_width<256>(run, d, sequences, n_sequences);
}

}  // namespace lr::cuda
