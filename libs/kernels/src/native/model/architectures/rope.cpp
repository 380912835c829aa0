// RoPE settings of a config.json; what they mean is in model/rope.cpp.
#include <algorithm>
#include <cmath>
#include <utility>

#include "architectures.h"

namespace lr::architectures {
namespace {

using json::Value;

RopeType read_type(const ConfigReader& settings, const RopeRules& rules) {
  constexpr std::pair<const char*, RopeType> kTypes[] = {
      {"default", RopeType::Default}, {"linear", RopeType::Linear}, {"dynamic", RopeType::Dynamic},
      {"yarn", RopeType::Yarn},       {"llama3", RopeType::Llama3}, {"longrope", RopeType::Longrope}};
  std::string name = settings.string_or("rope_type", settings.string_or("type", "default").c_str());
  if (rules.only_longrope && (name == "su" || name == "yarn")) name = "longrope";
  for (const auto& [known, type] : kTypes) {
    if (name == known && (!rules.only_longrope || name == "default" || name == "longrope")) return type;
  }
  fail(LR_UNSUPPORTED_MODEL, "%s: RoPE type \"%s\" is not supported; supported: %s", settings.where().c_str(), name.c_str(),
       rules.only_longrope ? "default, longrope" : "default, linear, dynamic, yarn, llama3, longrope");
}

std::vector<double> read_factors(const ConfigReader& settings, const char* key, int64_t count) {
  const Value* list = settings.find(key);
  std::vector<double> factors;
  if (list != nullptr) {
    for (const Value& value : list->items) {
      if (value.is_number() && value.number > 0 && value.number < 1e30) factors.push_back(value.number);
    }
  }
  if (static_cast<int64_t>(factors.size()) != count || list->items.size() != factors.size()) {
    fail(LR_BAD_FORMAT, "%s: \"%s\" has to list %lld positive numbers", settings.where().c_str(), key,
         static_cast<long long>(count));
  }
  return factors;
}

// Peng et al. 2023, with the two optional factors of DeepSeek's.
double yarn_attention_factor(const ConfigReader& settings, double factor) {
  const auto mscale = [&](double weight) { return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0; };
  const bool both = settings.find("mscale") != nullptr && settings.find("mscale_all_dim") != nullptr;
  return both ? mscale(settings.positive("mscale")) / mscale(settings.positive("mscale_all_dim")) : mscale(1);
}

// Ding et al. 2024.
double longrope_attention_factor(double factor, int64_t original) {
  return factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(original)));
}

}  // namespace

RopeConfig read_rope_settings(const ConfigReader& config, const ConfigReader& settings, const RopeRules& rules,
                              const ModelConfig& model) {
  RopeConfig rope;
  rope.type = read_type(settings, rules);
  rope.theta = settings.positive_or("rope_theta", rules.theta);
  if (!(rope.theta > 1)) fail(LR_BAD_FORMAT, "%s: rope_theta has to be greater than 1", settings.where().c_str());
  const double part = settings.positive_or("partial_rotary_factor", config.positive_or("partial_rotary_factor", 1));
  if (part != 1 && !rules.partial) {
    fail(LR_UNSUPPORTED_MODEL, "%s: partial rotary embeddings are not supported for %s", settings.where().c_str(),
         model.model_type.c_str());
  }
  if (part <= 1) rope.width = static_cast<int64_t>(static_cast<double>(model.head_dim) * part);
  if (rope.width < 2 || rope.width % 2 != 0) {
    fail(LR_BAD_FORMAT, "%s: partial_rotary_factor %g of head_dim %lld is no even number of elements", settings.where().c_str(),
         part, static_cast<long long>(model.head_dim));
  }
  settings.refuse("mrope_section");
  if (rope.type == RopeType::Default) return rope;
  if (rope.type == RopeType::Dynamic) {
    rope.original_positions = model.max_positions;
  } else {
    // What config.json says itself goes before what the RoPE settings say.
    const char* key = "original_max_position_embeddings";
    const int64_t assumed = settings.integer_or(key, model.max_positions, 2, kMaxPositions);
    rope.original_positions = config.integer_or(key, rules.original == 0 ? assumed : rules.original, 2, kMaxPositions);
  }
  const double ratio = static_cast<double>(model.max_positions) / static_cast<double>(rope.original_positions);
  const bool own_ratio = rope.type == RopeType::Yarn || rope.type == RopeType::Longrope;
  rope.factor = own_ratio ? settings.positive_or("factor", ratio) : settings.positive("factor");
  switch (rope.type) {
    case RopeType::Llama3:
      rope.low_freq_factor = settings.positive("low_freq_factor");
      rope.high_freq_factor = settings.positive("high_freq_factor");
      if (!(rope.high_freq_factor > rope.low_freq_factor)) {
        fail(LR_BAD_FORMAT, "%s: high_freq_factor has to be greater than low_freq_factor", settings.where().c_str());
      }
      break;
    case RopeType::Yarn:
      rope.beta_fast = settings.positive_or("beta_fast", rope.beta_fast);
      rope.beta_slow = settings.positive_or("beta_slow", rope.beta_slow);
      rope.truncate = settings.boolean_or("truncate", true);
      rope.attention_factor = settings.positive_or("attention_factor", yarn_attention_factor(settings, rope.factor));
      break;
    case RopeType::Longrope:
      rope.short_factors = read_factors(settings, "short_factor", rope.width / 2);
      rope.long_factors = read_factors(settings, "long_factor", rope.width / 2);
      rope.attention_factor =
          settings.positive_or("attention_factor", longrope_attention_factor(rope.factor, rope.original_positions));
      break;
    default: break;
  }
  return rope;
}

void read_rope(const ConfigReader& config, ModelConfig& model, RopeRules rules) {
  rules.theta = config.positive_or("rope_theta", rules.theta);
  const char* key = config.find("rope_parameters") != nullptr ? "rope_parameters" : "rope_scaling";
  const ConfigReader settings = config.find(key) == nullptr ? config : config.object(key);
  model.ropes = {read_rope_settings(config, settings, rules, model)};
  stretch_positions(model);
}

void stretch_positions(ModelConfig& model) {
  const RopeConfig& rope = model.ropes.front();
  if (rope.type != RopeType::Dynamic && rope.type != RopeType::Yarn) return;
  const double stretched = std::min(static_cast<double>(rope.original_positions) * rope.factor, static_cast<double>(kMaxPositions));
  model.max_positions = std::max(model.max_positions, static_cast<int64_t>(stretched));
}

}  // namespace lr::architectures
