// Label smoothing, NEFTune and the preference objectives: against their definitions, against finite differences through the whole
// decoder, and the same bytes however they are computed.
#include <cmath>
#include <limits>

#include "model/preference.h"
#include "tiny_model.h"

namespace lr::test {
namespace {

constexpr uint32_t kRank = 3;
// Two pairs of more than 8 tokens an answer, then one for a second adapter.
const std::vector<int> kLengths = {9, 12, 10, 9, 11, 13};

lr_preference dpo(const double* reference, float smoothing = 0) { return {LR_DPO, 0.3f, smoothing, reference}; }
lr_preference orpo() { return {LR_ORPO, 0.5f, 0, nullptr}; }

std::vector<double> logps(World& world, const Packed& packed, lr_adapter* adapter, std::vector<uint32_t>* counts = nullptr) {
  std::vector<double> out(packed.starts.size() - 1);
  if (counts != nullptr) counts->resize(out.size());
  const lr_batch batch = packed.batch();
  const lr_rows rows = {adapter, 0, packed.size(), 1, 0};
  check(world.context.get(), lr_sequence_logps(world.base.get(), &batch, &rows, 1, nullptr, out.data(), counts ? counts->data() : nullptr));
  return out;
}

struct Outcome {
  std::vector<lr_preference_loss> losses;
  std::vector<Floats> gradients;
};

Outcome step(World& world, const Packed& packed, const std::vector<lr_rows>& rows, const std::vector<lr_preference>& preferences,
             uint32_t checkpointing = 1) {
  Outcome out;
  out.losses.resize(rows.size());
  const lr_batch batch = packed.batch();
  const lr_step_options options = {checkpointing, 0};
  for (const lr_rows& row : rows)
    if (row.adapter != nullptr) check(world.context.get(), lr_adapter_zero_gradients(row.adapter));
  check(world.context.get(), lr_preference_step(world.base.get(), &batch, rows.data(), static_cast<uint32_t>(rows.size()),
                                                preferences.data(), &options, nullptr, out.losses.data()));
  for (const lr_rows& row : rows)
    if (row.adapter != nullptr) out.gradients.push_back(read_all(world, row.adapter, LR_GRADIENT, adapter_sizes(kAllLinears, kRank)));
  return out;
}

double evaluate(World& world, const Packed& packed, lr_adapter* adapter, const lr_preference& preference) {
  const lr_batch batch = packed.batch();
  const lr_rows rows = {adapter, 0, packed.size(), 1, 0};
  lr_preference_loss loss;
  check(world.context.get(), lr_preference_eval(world.base.get(), &batch, &rows, 1, &preference, nullptr, &loss));
  return loss.sum;
}

bool same(const lr_preference_loss& a, const lr_preference_loss& b) {
  return a.sum == b.sum && a.chosen_reward == b.chosen_reward && a.rejected_reward == b.rejected_reward &&
         a.chosen_nll == b.chosen_nll && a.chosen_tokens == b.chosen_tokens && a.pairs == b.pairs && a.correct == b.correct;
}

// The slopes of the objectives by central differences, far out on both sides too.
void slopes() {
  const double reference[2] = {0, 0};
  for (const lr_preference& p : {dpo(reference), dpo(reference, 0.2f), orpo()})
    for (const double shift : {-400.0, -3.0, 0.0, 5.0, 400.0}) {
      const Answer chosen = {std::max(1.5, 1.5 - shift), 7, -4}, rejected = {std::max(2.0, 2 + shift), 4, -3};
      const PairLoss at = preference_loss(p, chosen, rejected);
      const auto moved = [&](double c, double r) {
        return preference_loss(p, {chosen.nll + c, 7, -4}, {rejected.nll + r, 4, -3}).loss;
      };
      const double h = 1e-5, c = (moved(h, 0) - moved(-h, 0)) / (2 * h), r = (moved(0, h) - moved(0, -h)) / (2 * h);
      expect(std::isfinite(at.loss) && std::fabs(c - at.chosen_slope) < 1e-6 && std::fabs(r - at.rejected_slope) < 1e-6,
             "slopes of objective " + std::to_string(p.objective) + " at " + std::to_string(shift));
    }
  const PairLoss certain = preference_loss(orpo(), {0, 3, 0}, {0, 3, 0});
  expect(std::isfinite(certain.loss) && std::isfinite(certain.chosen_slope), "answers of probability 1 have finite odds");
}

// Σ log p of sequences is minus the loss of an evaluation, and DPO of an adapter that does nothing has loss log 2.
void log_probabilities() {
  World world(Family::Qwen2Tied);
  AdapterHandle adapter = world.adapter(kAllLinears, kRank);
  const Packed packed(kLengths);
  std::vector<uint32_t> counts;
  const std::vector<double> sums = logps(world, packed, adapter.get(), &counts);
  const lr_batch batch = packed.batch();
  const lr_rows rows = {adapter.get(), 0, packed.size(), 1, 0};
  lr_loss loss;
  check(world.context.get(), lr_eval_step(world.base.get(), &batch, &rows, 1, nullptr, &loss));
  double total = 0;
  uint64_t tokens = 0;
  for (size_t s = 0; s < sums.size(); ++s) {
    total += sums[s];
    tokens += counts[s];
  }
  expect(std::fabs(total + loss.sum) < 1e-9 * loss.sum && tokens == loss.tokens, "log-probabilities add up to the loss");

  AdapterHandle fresh = world.adapter(kAllLinears, kRank, 0, {}, true);
  const std::vector<double> reference = logps(world, packed, nullptr);
  const Outcome start = step(world, packed, {{fresh.get(), 0, packed.size(), 1, 0}}, {dpo(reference.data())});
  expect(std::fabs(start.losses[0].sum - 3 * std::log(2.0)) < 1e-12 && start.losses[0].correct == 0 && start.losses[0].pairs == 3,
         "DPO begins at log 2 a pair, its reference being the base");
}

// The slope of the loss along the gradient of every LoRA matrix has to be the gradient's length.
void gradients(Family family, bool is_dpo, float smoothing) {
  World world(family);
  AdapterHandle adapter = world.adapter(kAllLinears, kRank);
  const Packed packed(kLengths);
  const std::vector<double> reference = logps(world, packed, nullptr);
  const lr_preference preference = is_dpo ? dpo(reference.data(), smoothing) : orpo();
  const Outcome outcome = step(world, packed, {{adapter.get(), 0, packed.size(), 1, 0}}, {preference});
  const double seen = evaluate(world, packed, adapter.get(), preference);
  const std::string name = (is_dpo ? "DPO" : "ORPO") + std::string(smoothing > 0 ? ", smoothed" : "");
  expect(std::fabs(outcome.losses[0].sum - seen) < 1e-9 * seen, name + ": training and evaluation see one loss");
  const std::vector<uint64_t> sizes = adapter_sizes(kAllLinears, kRank);
  size_t at = 0;
  for (uint32_t i = 0; i < sizes.size(); at += sizes[i], ++i) {
    const auto from = outcome.gradients[0].begin() + static_cast<std::ptrdiff_t>(at);
    const Floats gradient(from, from + static_cast<std::ptrdiff_t>(sizes[i]));
    double norm = 0;
    for (const float g : gradient) norm += double{g} * double{g};
    norm = std::sqrt(norm);
    expect(norm > 1e-4, name + ": the gradient is not zero");
    const Floats weights = read_tensor(world, adapter.get(), LR_WEIGHT, i, gradient.size());
    const double h = std::min(0.02 / norm, 0.05);
    const auto loss_at = [&](double sign) {
      Floats moved = weights;
      for (size_t k = 0; k < moved.size(); ++k) moved[k] += static_cast<float>(sign * h * double{gradient[k]} / norm);
      check(world.context.get(), lr_adapter_write(adapter.get(), LR_WEIGHT, i, moved.data(), moved.size()));
      return evaluate(world, packed, adapter.get(), preference);
    };
    const double slope = (loss_at(1) - loss_at(-1)) / (2 * h);
    check(world.context.get(), lr_adapter_write(adapter.get(), LR_WEIGHT, i, weights.data(), weights.size()));
    expect(std::fabs(slope - norm) < 1e-2 * norm + 1e-5,
           name + ", tensor " + std::to_string(i) + ": slope " + std::to_string(slope) + ", gradient " + std::to_string(norm));
  }
}

// Checkpointing, threads, and other adapters with other objectives beside it change no byte; nor does dropout's or noise's seed.
void same_bytes_always() {
  for (const uint32_t threads : {1u, 2u}) {
    World world(Family::LlamaPlain, make_context(LR_BACKEND_FAST, threads));
    AdapterHandle first = world.adapter(kAllLinears, kRank, 0.1f), second = world.adapter(kAllLinears, kRank, 0.1f, {}, false, 8);
    const Packed packed(kLengths);
    const auto split = static_cast<uint32_t>(packed.starts[4]);
    const std::vector<double> reference = logps(world, packed, nullptr);
    const auto part = [&](size_t from, size_t to) {
      Packed some({});
      for (size_t s = from; s < to; ++s) some.starts.push_back(packed.starts[s + 1] - packed.starts[from]);
      some.tokens.assign(packed.tokens.begin() + packed.starts[from], packed.tokens.begin() + packed.starts[to]);
      some.targets.assign(packed.targets.begin() + packed.starts[from], packed.targets.begin() + packed.starts[to]);
      return some;
    };
    const lr_rows one = {first.get(), 0, split, 0.5f, 5, 0, 3}, two = {second.get(), split, packed.size(), 0.25f, 6, 0, 2};
    const lr_rows two_alone = {second.get(), 0, packed.size() - split, 0.25f, 6, 0, 2};
    const Outcome both = step(world, packed, {one, two}, {dpo(reference.data()), orpo()});
    for (const uint32_t checkpointing : {0u, 1u}) {
      const Outcome alone = step(world, part(0, 4), {one}, {dpo(reference.data())}, checkpointing);
      const Outcome other = step(world, part(4, 6), {two_alone}, {orpo()}, checkpointing);
      expect(same(alone.losses[0], both.losses[0]) && same_bytes(alone.gradients[0], both.gradients[0]), "DPO computes the same bytes alone");
      expect(same(other.losses[0], both.losses[1]) && same_bytes(other.gradients[0], both.gradients[1]), "ORPO computes the same bytes alone");
    }
  }
}

Floats train(World& world, lr_adapter* adapter, const Packed& packed, const lr_rows& rows, lr_loss* loss) {
  const lr_batch batch = packed.batch();
  const lr_step_options options = {1, 0};
  check(world.context.get(), lr_adapter_zero_gradients(adapter));
  check(world.context.get(), lr_train_step(world.base.get(), &batch, &rows, 1, &options, nullptr, loss));
  return read_all(world, adapter, LR_GRADIENT, adapter_sizes(kAllLinears, kRank));
}

// The smoothed loss from the logits; evaluation stays plain. Smoothing is linear in ε, so three of its gradients lie on a line.
void label_smoothing() {
  World world;
  AdapterHandle adapter = world.adapter(kAllLinears, kRank);
  const Packed packed({9, 14});
  const lr_batch batch = packed.batch();
  lr_rows rows = {adapter.get(), 0, packed.size(), 1, 0};
  Floats logits(packed.size() * kVocab);
  check(world.context.get(), lr_logits(world.base.get(), &batch, &rows, 1, logits.data()));
  double plain = 0, uniform = 0;
  for (size_t t = 0; t < packed.size(); ++t) {
    if (packed.targets[t] < 0) continue;
    const float* row = logits.data() + t * kVocab;
    double total = 0, sum = 0;
    for (int64_t i = 0; i < kVocab; ++i) {
      total += std::exp(double{row[i]});
      sum += double{row[i]};
    }
    plain += std::log(total) - double{row[packed.targets[t]]};
    uniform += std::log(total) - sum / static_cast<double>(kVocab);
  }
  Floats by_epsilon[3];
  for (const int i : {0, 1, 2}) {
    rows.label_smoothing = 0.2f * static_cast<float>(i);
    lr_loss loss;
    by_epsilon[i] = train(world, adapter.get(), packed, rows, &loss);
    const double epsilon = double{rows.label_smoothing};
    expect(std::fabs(loss.sum - (1 - epsilon) * plain - epsilon * uniform) < 1e-4 * plain, "the smoothed loss of a training step");
  }
  Floats middle(by_epsilon[0].size());
  for (size_t i = 0; i < middle.size(); ++i) middle[i] = (by_epsilon[0][i] + by_epsilon[2][i]) / 2;
  expect(distance(by_epsilon[1], middle) < 1e-4 && distance(by_epsilon[1], by_epsilon[0]) > 1e-2, "smoothed gradients");
  lr_loss loss;
  check(world.context.get(), lr_eval_step(world.base.get(), &batch, &rows, 1, nullptr, &loss));
  expect(std::fabs(loss.sum - plain) < 1e-4 * plain, "an evaluation is not smoothed");
}

// Noise repeats with its seed, differs with another, is absent from evaluations, and does not depend on what else is packed.
void neftune() {
  World world(Family::LlamaPlain, make_context(LR_BACKEND_FAST, 2));
  AdapterHandle adapter = world.adapter(kAllLinears, kRank);
  const Packed packed({9, 14});
  lr_rows rows = {adapter.get(), 0, packed.size(), 1, 5};
  lr_loss quiet, noisy, again, other, evaluated;
  train(world, adapter.get(), packed, rows, &quiet);
  rows.neftune_alpha = 5;
  const Floats gradient = train(world, adapter.get(), packed, rows, &noisy);
  expect(same_bytes(train(world, adapter.get(), packed, rows, &again), gradient) && again.sum == noisy.sum, "noise repeats with its seed");
  rows.dropout_seed = 6;
  train(world, adapter.get(), packed, rows, &other);
  expect(noisy.sum != quiet.sum && other.sum != noisy.sum, "noise changes the loss, and with the seed");
  const lr_batch batch = packed.batch();
  check(world.context.get(), lr_eval_step(world.base.get(), &batch, &rows, 1, nullptr, &evaluated));
  expect(std::fabs(evaluated.sum - quiet.sum) < 1e-9 * quiet.sum, "an evaluation has no noise");
}

void bad_preferences() {
  World world;
  AdapterHandle adapter = world.adapter({"q_proj"}, 2);
  const double reference[4] = {-1, -2, std::numeric_limits<double>::quiet_NaN(), -3};
  const lr_step_options options = {1, 0};
  const auto refused = [&](const Packed& packed, lr_rows rows, const lr_preference* preference, const std::string& mention) {
    const lr_batch batch = packed.batch();
    lr_preference_loss loss;
    expect_status(world.context.get(), lr_preference_step(world.base.get(), &batch, &rows, 1, preference, &options, nullptr, &loss),
                  LR_INVALID_ARGUMENT, "a preference step", mention);
    expect_status(world.context.get(), lr_preference_eval(world.base.get(), &batch, &rows, 1, preference, nullptr, &loss),
                  LR_INVALID_ARGUMENT, "a preference evaluation", mention);
  };
  const Packed pair({5, 6}), four({5, 6, 5, 6}), three({5, 6, 7});
  const lr_rows rows = {adapter.get(), 0, 11, 1, 0};
  const auto bad = [&](const lr_preference& preference, const std::string& mention) { refused(pair, rows, &preference, mention); };
  bad({7, 1, 0, reference}, "objective of preferences[0] is 7");
  bad({LR_DPO, 0, 0, reference}, "above 0");
  bad({LR_DPO, 1, 0.5f, reference}, "below 0.5");
  bad({LR_DPO, 1, 0, nullptr}, "reference of a DPO preference is null");
  bad({LR_ORPO, -1, 0, nullptr}, "at least 0");
  bad({LR_ORPO, 1, 0.1f, nullptr}, "0 with ORPO");
  refused(pair, rows, nullptr, "preferences is null");
  const lr_preference fine = dpo(reference);
  refused(four, {adapter.get(), 0, 22, 1, 0}, &fine, "reference[2] of preferences[0] is not finite");
  refused(pair, {adapter.get(), 0, 11, 1, 0, 0.1f}, &fine, "a preference has its own");
  const lr_preference odds = orpo();
  refused(three, {adapter.get(), 0, 18, 1, 0}, &odds, "3 sequences");
  Packed silent({5, 6});
  for (int t = 5; t < 11; ++t) silent.targets[static_cast<size_t>(t)] = -100;
  refused(silent, rows, &odds, "sequence 1 has no target");
  refused(pair, {adapter.get(), 0, 11, 1, 0, 0, -1}, &odds, "neftune_alpha of rows[0] is -1");
  refused(pair, {adapter.get(), 0, 11, 1, 0, 1}, &odds, "label_smoothing of rows[0] is 1");
}

}  // namespace

void objective_cases() {
  slopes();
  log_probabilities();
  gradients(Family::LlamaPlain, true, 0);
  gradients(Family::Qwen2Tied, true, 0.2f);
  gradients(Family::LlamaBiased, false, 0);
  same_bytes_always();
  label_smoothing();
  neftune();
  bad_preferences();
}

}  // namespace lr::test
