// Runs the kernels of `attention.cu` on a CPU and holds them against attention in float64, values and gradients:
// grouped heads, windows, causal order, padding on both sides, holes, a row of padding, biases, odd widths.
//
//   g++ -std=c++17 -DTYPE=0 -DHEAD=64 -I. -I../../../crates/nn/src/kernels/cuda check_attention.cpp && ./a.out
#include "emulate.h"
#include "attention.cu"
#include <random>

float emulated_value(unsigned short u) { return number(u); }

struct Case {
    int rows, width, heads, groups, head, behind, ahead;
    bool holes, biased;
};

struct Difference {
    double apart = 0, size = 0;
    void add(double found, double expected) {
        apart += (found - expected) * (found - expected);
        size += expected * expected;
    }
    double relative() const { return std::sqrt(apart / size); }
};

double run(const Case& c) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    const int count = c.heads + 2 * c.groups, distances = 2 * c.width - 1;
    const size_t tokens = (size_t)c.rows * c.width;
    std::vector<Number> qkv(tokens * count * c.head), g(tokens * c.heads * c.head), out(g.size()), found(qkv.size(), rounded(77));
    for (auto& x : qkv) x = rounded(normal(random));
    for (auto& x : g) x = rounded(normal(random));
    std::vector<float> bias(c.heads * distances), logsum(tokens * c.heads, 5), delta(tokens * c.heads, 5);
    for (auto& x : bias) x = normal(random);
    std::vector<u32> spans;
    std::vector<unsigned char> mask(tokens, 1);
    for (int r = 0; r < c.rows; ++r) {
        // Padding behind, padding in front, nothing but padding.
        int from = r == 1 ? 3 : 0, to = r == 2 ? 0 : c.width - (r == 0 ? 2 : 0);
        spans.push_back(from);
        spans.push_back(to);
        for (int i = from + 1; c.holes && i < to - 1; ++i) mask[r * c.width + i] = i % 7 != 3;
    }
    std::vector<u64> fixed(bias.size());
    const float scale = 1 / std::sqrt((float)c.head), *biases = c.biased ? bias.data() : nullptr;
    const unsigned char* seen = c.holes ? mask.data() : nullptr;
    const int vector = c.head % VECTOR == 0;
    auto blocks = [&](int heads) { Dim d; d.x = (c.width + M - 1) / M; d.y = heads; d.z = c.rows; return d; };
    auto flat = [](size_t n) { Dim d; d.x = (int)n; return d; };
    const size_t row = STRIDE * sizeof(Number);
#define REST spans.data(), seen, biases, c.width, c.heads, c.groups, c.head, c.behind, c.ahead, scale, vector
    emu::launch(blocks(c.heads), flat(THREADS), row * (M + 2 * N), [&] { attention_forward(qkv.data(), out.data(), logsum.data(), REST); });
    const u64 states = tokens * c.heads;
    emu::launch(flat((states + 3) / 4), flat(128), 16, [&] { attention_delta(out.data(), g.data(), delta.data(), states, c.width, c.heads, c.head); });
    emu::launch(blocks(c.heads), flat(THREADS), row * (2 * M + 2 * N), [&] {
        attention_backward_queries(qkv.data(), g.data(), logsum.data(), delta.data(), found.data(), c.biased ? fixed.data() : nullptr, REST);
    });
    emu::launch(blocks(c.groups), flat(THREADS), row * (2 * M + 2 * N), [&] {
        attention_backward_keys(qkv.data(), g.data(), logsum.data(), delta.data(), found.data(), REST);
    });

    std::vector<double> states_expected(out.size()), expected(qkv.size()), bias_expected(bias.size());
    for (int r = 0; r < c.rows; ++r) for (int h = 0; h < c.heads; ++h) {
        const int k = c.heads + h / (c.heads / c.groups), v = k + c.groups, from = spans[2 * r], to = spans[2 * r + 1];
        auto of = [&](int token, int head, int d) { return ((size_t)(r * c.width + token) * count + head) * c.head + d; };
        auto at = [&](int token, int d) { return ((size_t)(r * c.width + token) * c.heads + h) * c.head + d; };
        auto value = [&](int token, int head, int d) { return (double)number(qkv[of(token, head, d)]); };
        for (int i = from; i < to; ++i) {
            std::vector<double> p(c.width, 0), d(c.width, 0);
            std::vector<int> keys;
            double top = -1e300, total = 0, level = 0;
            for (int j = from; j < to; ++j) {
                if (j < i - c.behind || j > i + c.ahead || (c.holes && !mask[r * c.width + j])) continue;
                keys.push_back(j);
                for (int x = 0; x < c.head; ++x) p[j] += value(i, h, x) * value(j, k, x);
                p[j] = p[j] * scale + (c.biased ? bias[h * distances + c.width - 1 + j - i] : 0);
                top = std::max(top, p[j]);
            }
            for (int j : keys) total += p[j] = std::exp(p[j] - top);
            for (int j : keys) {
                p[j] /= total;
                for (int x = 0; x < c.head; ++x) {
                    states_expected[at(i, x)] += p[j] * value(j, v, x);
                    d[j] += number(g[at(i, x)]) * value(j, v, x);
                }
                level += p[j] * d[j];
            }
            for (int j : keys) {
                const double s = p[j] * (d[j] - level);
                if (c.biased) bias_expected[h * distances + c.width - 1 + j - i] += s;
                for (int x = 0; x < c.head; ++x) {
                    expected[of(i, h, x)] += scale * s * value(j, k, x);
                    expected[of(j, k, x)] += scale * s * value(i, h, x);
                    expected[of(j, v, x)] += p[j] * number(g[at(i, x)]);
                }
            }
        }
    }
    Difference a, b, d;
    for (size_t i = 0; i < out.size(); ++i) a.add(number(out[i]), states_expected[i]);
    for (size_t i = 0; i < found.size(); ++i) b.add(number(found[i]), expected[i]);
    for (size_t i = 0; i < fixed.size() && c.biased; ++i) d.add((double)(long long)fixed[i] / 17592186044416.0, bias_expected[i]);
    const double worst = std::max({a.relative(), b.relative(), c.biased ? d.relative() : 0});
    printf("type %d, heads of %d, width %d: %.1e\n", TYPE, c.head, c.width, worst);
    return worst;
}

int main() {
    // Rounding of float32, bfloat16 and float16, with what their sums add.
    const double bound = TYPE == 0 ? 2e-6 : TYPE == 1 ? 6e-3 : 8e-4;
    const Case cases[] = {
        {2, 9, 2, 2, HEAD, 9, 9, false, false},         {3, 75, 2, 1, HEAD - 4, 75, 75, true, true},
        {2, 140, 4, 2, HEAD - 8, 140, 0, false, false}, {2, 150, 1, 1, HEAD, 20, 7, true, false},
        {1, 130, 2, 2, HEAD / 2, 130, 130, false, true},
    };
    bool good = true;
    for (const auto& c : cases) good &= run(c) < bound;
    return good ? 0 : 1;
}
