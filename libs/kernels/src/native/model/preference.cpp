#include "preference.h"

#include <algorithm>
#include <cmath>

namespace lr {
namespace {

double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
// -log σ(x), without overflow
double minus_log_sigmoid(double x) { return std::max(-x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

PairLoss dpo(const lr_preference& p, const Answer& chosen, const Answer& rejected) {
  const double beta = double{p.beta}, epsilon = double{p.label_smoothing};
  PairLoss out = {};
  out.chosen_reward = beta * (-chosen.nll - chosen.reference);
  out.rejected_reward = beta * (-rejected.nll - rejected.reference);
  const double margin = out.chosen_reward - out.rejected_reward;
  out.loss = (1 - epsilon) * minus_log_sigmoid(margin) + epsilon * minus_log_sigmoid(-margin);
  const double slope = epsilon * sigmoid(margin) - (1 - epsilon) * sigmoid(-margin);  // ∂loss/∂margin
  out.chosen_slope = -beta * slope;
  out.rejected_slope = beta * slope;
  return out;
}

// log(p / (1 - p)) of a mean log-probability, and its slope.
struct LogOdds {
  explicit LogOdds(double mean) {
    // A probability of 1 has no odds. The loss of a token is a float, so nothing finer than its rounding is known of the mean.
    const double below_one = std::min(mean, -0x1p-24);
    const double rest = -std::expm1(below_one);
    value = below_one - std::log(rest);
    slope = 1 / rest;
  }
  double value, slope;
};

PairLoss orpo(const lr_preference& p, const Answer& chosen, const Answer& rejected) {
  const double lambda = double{p.beta};
  const double c = -chosen.nll / static_cast<double>(chosen.tokens), r = -rejected.nll / static_cast<double>(rejected.tokens);
  const LogOdds chosen_odds(c), rejected_odds(r);
  const double ratio = chosen_odds.value - rejected_odds.value;
  PairLoss out = {};
  out.loss = -c + lambda * minus_log_sigmoid(ratio);
  out.chosen_reward = lambda * c;
  out.rejected_reward = lambda * r;
  const double weight = lambda * sigmoid(-ratio);  // -∂loss/∂ratio
  out.chosen_slope = (1 + weight * chosen_odds.slope) / static_cast<double>(chosen.tokens);
  out.rejected_slope = -weight * rejected_odds.slope / static_cast<double>(rejected.tokens);
  return out;
}

}  // namespace

PairLoss preference_loss(const lr_preference& preference, const Answer& chosen, const Answer& rejected) {
  return preference.objective == LR_ORPO ? orpo(preference, chosen, rejected) : dpo(preference, chosen, rejected);
}

}  // namespace lr
