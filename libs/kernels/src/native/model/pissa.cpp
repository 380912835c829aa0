#include "pissa.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace lr {
namespace {

// Directions beyond the rank that is asked for: they take up what the start lacks (Halko et al. 2011, section 4.2).
constexpr int64_t kOversampling = 8;
constexpr int kSweeps = 30;  // Jacobi ends far sooner; the bound only rules out an endless loop

double dot(const float* x, const float* y, int64_t n) {
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int lane = 0; lane < 8; ++lane) sums[lane] += static_cast<double>(x[i + lane]) * static_cast<double>(y[i + lane]);
  for (; i < n; ++i) sums[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  return std::accumulate(sums, sums + 8, 0.0);
}

// Makes the k rows of y [k, n] orthonormal by Gram and Schmidt, each row twice, which suffices (Giraud et al. 2005). A row that
// lies in the span of those before it becomes zero.
void orthonormalise(float* y, int64_t k, int64_t n) {
  for (int64_t row = 0; row < k; ++row) {
    float* v = y + row * n;
    const double before = std::sqrt(dot(v, v, n));
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t other = 0; other < row; ++other) {
        const auto share = static_cast<float>(dot(v, y + other * n, n));
        for (int64_t i = 0; i < n; ++i) v[i] -= share * y[other * n + i];
      }
    }
    const double length = std::sqrt(dot(v, v, n));
    const auto factor = static_cast<float>(length > 1e-6 * before ? 1 / length : 0);
    for (int64_t i = 0; i < n; ++i) v[i] *= factor;
  }
}

// Eigenvalues (on g's diagonal) and eigenvectors (columns of u) of the symmetric g [k, k], by Jacobi's cyclic rotations.
void diagonalise(std::vector<double>& g, std::vector<double>& u, size_t k) {
  for (size_t i = 0; i < k; ++i) u[i * k + i] = 1;
  double total = 0;
  for (const double value : g) total += value * value;
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    double rest = 0;  // squares off the diagonal
    for (size_t p = 0; p < k; ++p)
      for (size_t q = p + 1; q < k; ++q) rest += g[p * k + q] * g[p * k + q];
    if (rest <= 1e-30 * total) return;
    for (size_t p = 0; p < k; ++p) {
      for (size_t q = p + 1; q < k; ++q) {
        if (g[p * k + q] == 0) continue;
        // The rotation that makes g[p][q] zero (Golub & Van Loan, section 8.5).
        const double tau = (g[q * k + q] - g[p * k + p]) / (2 * g[p * k + q]);
        const double t = (tau >= 0 ? 1 : -1) / (std::fabs(tau) + std::sqrt(1 + tau * tau));
        const double c = 1 / std::sqrt(1 + t * t), s = t * c;
        for (size_t i = 0; i < k; ++i) {
          const double left = g[i * k + p], right = g[i * k + q];
          g[i * k + p] = c * left - s * right;
          g[i * k + q] = s * left + c * right;
        }
        for (size_t i = 0; i < k; ++i) {
          const double upper = g[p * k + i], lower = g[q * k + i];
          g[p * k + i] = c * upper - s * lower;
          g[q * k + i] = s * upper + c * lower;
          const double left = u[i * k + p], right = u[i * k + q];
          u[i * k + p] = c * left - s * right;
          u[i * k + q] = s * left + c * right;
        }
      }
    }
  }
}

}  // namespace

void principal_pair(Runtime& runtime, const Weight& w, int32_t rank, float scale, uint32_t iterations, uint64_t key, float* a,
                    float* b) {
  Run run = runtime.run;
  run.compute = Compute::F32;
  const int64_t in = w.cols, out = w.rows, k = std::min<int64_t>(rank + kOversampling, std::min(in, out));
  // Both with their vectors as rows: x [k, in] of the row space, y [k, out] of the column space.
  Buffer<float> x(runtime.memory, static_cast<size_t>(k * in)), y(runtime.memory, static_cast<size_t>(k * out));
  for (size_t i = 0; i < x.size(); ++i) x[i] = 2.0f * philox_uniform(key, i) - 1.0f;
  runtime.ops.linear_forward(run, x.data(), w, nullptr, {}, y.data(), k);
  orthonormalise(y.data(), k, out);
  for (uint32_t i = 0; i < iterations; ++i) {
    runtime.ops.linear_backward(run, y.data(), w, {}, x.data(), k, false);
    orthonormalise(x.data(), k, in);
    runtime.ops.linear_forward(run, x.data(), w, nullptr, {}, y.data(), k);
    orthonormalise(y.data(), k, out);
  }
  // W ≈ yᵀ x with x = y W; the singular vectors of x follow from the eigenvectors of its small Gram matrix.
  runtime.ops.linear_backward(run, y.data(), w, {}, x.data(), k, false);
  const auto size = static_cast<size_t>(k);
  std::vector<double> gram(size * size), u(size * size);
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      const double product = dot(x.data() + i * in, x.data() + j * in, in);
      gram[static_cast<size_t>(i * k + j)] = gram[static_cast<size_t>(j * k + i)] = product;
    }
  diagonalise(gram, u, size);
  std::vector<size_t> order(size);
  std::iota(order.begin(), order.end(), size_t{0});
  const auto value = [&](size_t i) {  // NaN, of a weight that is not finite, has no place in an order: it comes last
    const double eigenvalue = gram[i * size + i];
    return std::isnan(eigenvalue) ? -HUGE_VAL : eigenvalue;
  };
  std::sort(order.begin(), order.end(),
            [&](size_t i, size_t j) { return value(i) > value(j) || (value(i) == value(j) && i < j); });

  std::vector<double> row(static_cast<size_t>(std::max(in, out)));
  // Σ_j u[j, column] · vectors[j] into row.
  const auto combine = [&](size_t column, const float* vectors, int64_t n) {
    std::fill(row.begin(), row.end(), 0.0);
    for (size_t j = 0; j < size; ++j)
      for (int64_t i = 0; i < n; ++i) {
        row[static_cast<size_t>(i)] += u[j * size + column] * static_cast<double>(vectors[static_cast<int64_t>(j) * n + i]);
      }
  };
  for (int64_t r = 0; r < rank; ++r) {
    const size_t column = order[static_cast<size_t>(r)];
    const double sigma = std::sqrt(std::max(gram[column * size + column], 0.0));
    const double share = std::sqrt(sigma / static_cast<double>(scale));
    combine(column, x.data(), in);  // sigma times the right singular vector
    for (int64_t i = 0; i < in; ++i) {
      a[r * in + i] = static_cast<float>(sigma > 0 ? row[static_cast<size_t>(i)] / sigma * share : 0);
    }
    combine(column, y.data(), out);
    for (int64_t i = 0; i < out; ++i) b[i * rank + r] = static_cast<float>(row[static_cast<size_t>(i)] * share);
  }
}

}  // namespace lr
