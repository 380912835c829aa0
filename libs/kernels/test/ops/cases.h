// One function for each file of cases.
#pragma once

namespace lr::test {

void foundation_cases();  // pool, scratch, Philox, bf16
void quantize_cases();
void linear_cases();
void lora_cases();
void dora_cases();  // row_norms, column_affine, column_sums, dropout
void pointwise_cases();  // rmsnorm, rope, gated, softcap, embedding, add, sum_squares, adamw, adamw8
void attention_cases();
void head_cases();
void operand_cases();  // operations over operands in bfloat16
void gradient_cases();

}  // namespace lr::test
