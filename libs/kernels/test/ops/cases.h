// One function for each file of cases.
#pragma once

namespace lr::test {

void foundation_cases();  // pool, scratch, Philox, bf16
void nf4_cases();
void linear_cases();
void lora_cases();
void pointwise_cases();  // rmsnorm, rope, gated, softcap, embedding, add, sum_squares, adamw
void attention_cases();
void head_cases();
void gradient_cases();

}  // namespace lr::test
