// Checks every operation of every table this machine can run. Prints what failed and one closing line.
#include "cases.h"
#include "check.h"

int main() {
  lr::test::foundation_cases();
  lr::test::quantize_cases();
  lr::test::linear_cases();
  lr::test::lora_cases();
  lr::test::dora_cases();
  lr::test::pointwise_cases();
  lr::test::attention_cases();
  lr::test::head_cases();
  lr::test::gradient_cases();
  return lr::test::finish();
}
