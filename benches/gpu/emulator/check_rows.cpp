// Runs the kernels of `rows.cu` on a CPU and holds them against float64; gradients against differences of values.
//
//   g++ -std=c++17 -I. -I../../../crates/nn/src/kernels/cuda check_rows.cpp && ./a.out
#include "emulate.h"
#include "rows.cu"
#include <random>

float emulated_value(unsigned short) { return 0.0f; }

static bool good = true;
static void close(const char* what, double found, double expected, double bound = 2e-6) {
    if (std::fabs(found - expected) <= bound * std::max(1.0, std::fabs(expected))) return;
    printf("%s: %g, expected %g\n", what, found, expected);
    good = false;
}
static Dim flat(int n) { Dim d; d.x = n; return d; }
static std::mt19937 generator(7);
static std::vector<float> numbers(size_t n) {
    std::normal_distribution<float> normal;
    std::vector<float> all(n);
    for (auto& x : all) x = normal(generator);
    return all;
}

static void norms() {
    const int rows = 5, width = 70;
    auto x = numbers(rows * width), r = numbers(rows * width), p = numbers(2 * width), g = numbers(rows * width);
    for (int centre : {1, 0}) for (int with : {1, 0}) {
        const int shifted = centre;
        // The value of a row and of the whole, weighted by `g`.
        auto value = [&](const std::vector<double>& x, const std::vector<double>& p, std::vector<double>* y) {
            double sum = 0;
            for (int i = 0; i < rows; ++i) {
                double mean = 0, square = 0;
                std::vector<double> v(width);
                for (int j = 0; j < width; ++j) v[j] = x[i * width + j] + (with ? r[i * width + j] : 0);
                for (double a : v) mean += centre ? a / width : 0;
                for (double a : v) square += (a - mean) * (a - mean) / width;
                for (int j = 0; j < width; ++j) {
                    double n = (v[j] - mean) / std::sqrt(square + 1e-5) * p[j] + (shifted ? p[width + j] : 0);
                    if (y) (*y)[i * width + j] = n;
                    sum += n * g[i * width + j];
                }
            }
            return sum;
        };
        std::vector<float> y(x.size(), 9), to_x(x.size(), 9), to_r(x.size(), 9), parts(2 * 2 * width), sums(2 * width);
        const float* residual = with ? r.data() : nullptr;
        emu::launch(flat(rows), flat(64), 4 * (width + 32), [&] {
            norm_forward(x.data(), F32, residual, F32, p.data(), F32, y.data(), F32, width, shifted, centre, 1e-5f);
        });
        std::vector<double> exact_x(x.begin(), x.end()), exact_p(p.begin(), p.end()), exact(x.size());
        value(exact_x, exact_p, &exact);
        for (size_t i = 0; i < y.size(); ++i) close("norm", y[i], exact[i]);
        emu::launch(flat(2), flat(64), 4 * (3 * width + 32), [&] {
            norm_backward(x.data(), F32, residual, F32, p.data(), F32, g.data(), F32, to_x.data(), with ? to_r.data() : nullptr, parts.data(), rows,
                          width, shifted, centre, 1e-5f);
        });
        const int columns = (shifted ? 2 : 1) * width;
        Dim grid, block;
        grid.x = (columns + 31) / 32, block.x = 32, block.y = 8;
        emu::launch(grid, block, 4 * 256, [&] { column_sums(parts.data(), F32, 2, columns, sums.data()); });
        for (int i = 0; i < rows * width; i += 13) {
            auto ends = exact_x;
            ends[i] += 1e-5;
            double up = value(ends, exact_p, nullptr);
            ends[i] -= 2e-5;
            close("gradient of a normalised value", to_x[i], (up - value(ends, exact_p, nullptr)) / 2e-5, 1e-5);
            if (with) close("gradient of a residual", to_r[i], to_x[i], 0);
        }
        for (int i = 0; i < columns; i += 7) {
            auto ends = exact_p;
            ends[i] += 1e-5;
            double up = value(exact_x, ends, nullptr);
            ends[i] -= 2e-5;
            close("gradient of a scale or shift", sums[i], (up - value(exact_x, ends, nullptr)) / 2e-5, 1e-5);
        }
    }
}

static double exactly(int activation, double x) {
    switch (activation) {
        case GELU: return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
        case GELU_TANH: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
        case RELU: return x > 0 ? x : 0;
        case SILU: return x / (1 + std::exp(-x));
        default: return x;
    }
}

static void activations() {
    const int rows = 3, width = 11, n = rows * width;
    auto z = numbers(2 * n), g = numbers(n);
    std::vector<float> y(n), to_z(2 * n);
    for (int activation : {NONE, GELU, GELU_TANH, RELU, SILU}) for (int gate : {0, 1}) {
        emu::launch(flat(1), flat(32), 16, [&] { activate(z.data(), F32, y.data(), F32, n, width, activation, gate); });
        emu::launch(flat(1), flat(32), 16, [&] { activate_backward(z.data(), F32, g.data(), F32, to_z.data(), n, width, activation, gate); });
        for (int i = 0; i < n; ++i) {
            int at = gate ? i / width * 2 * width + i % width : i;
            double rest = gate ? z[at + width] : 1, x = z[at], f = exactly(activation, x);
            double slope = (exactly(activation, x + 1e-6) - exactly(activation, x - 1e-6)) / 2e-6;
            close("activation", y[i], f * rest);
            close("gradient of an activation", to_z[at], g[i] * slope * rest, 1e-5);
            if (gate) close("gradient of a gate", to_z[at + width], g[i] * f);
        }
    }
}

static void others() {
    // Sums of columns, in bfloat16 and in parts.
    const int rows = 301, width = 37;
    auto x = numbers(rows * width);
    std::vector<u16> narrow;
    for (float v : x) narrow.push_back(to_bf16(v));
    std::vector<float> parts(3 * width), sums(width);
    Dim grid, block;
    grid.x = 2, grid.y = 3, block.x = 32, block.y = 8;
    emu::launch(grid, block, 4 * 256, [&] { column_sums(narrow.data(), BF16, rows, width, parts.data()); });
    grid.y = 1;
    emu::launch(grid, block, 4 * 256, [&] { column_sums(parts.data(), F32, 3, width, sums.data()); });
    for (int j = 0; j < width; ++j) {
        double sum = 0;
        for (int i = 0; i < rows; ++i) sum += of_bf16(narrow[i * width + j]);
        close("sum of a column", sums[j], sum, 1e-5);
    }
    // A row added to each row.
    auto y = numbers(6 * width), before = y;
    emu::launch(flat(2), flat(32), 16, [&] { add_row(y.data(), F32, sums.data(), F32, y.size(), width); });
    for (size_t i = 0; i < y.size(); ++i) close("a row more", y[i], before[i] + sums[i % width]);
    // Rotation, and back.
    const int tokens = 4, heads = 3, half = 5;
    auto v = numbers(tokens * heads * 2 * half), angles = numbers(tokens * half);
    std::vector<float> cosines, sines, turned(v.size()), back(v.size());
    for (float a : angles) cosines.push_back(std::cos(a)), sines.push_back(std::sin(a));
    emu::launch(flat(1), flat(32), 16, [&] { rotate(v.data(), F32, cosines.data(), sines.data(), turned.data(), v.size() / 2, heads, 2, half, 1); });
    emu::launch(flat(1), flat(32), 16, [&] { rotate(turned.data(), F32, cosines.data(), sines.data(), back.data(), v.size() / 2, heads, 2, half, -1); });
    for (int t = 0; t < tokens; ++t) for (int h = 0; h < heads; ++h) for (int i = 0; i < half; ++i) {
        size_t at = (t * heads + h) * 2 * half + i;
        double a = v[at], b = v[at + half], angle = h < 2 ? angles[t * half + i] : 0;
        close("rotation", turned[at], a * std::cos(angle) - b * std::sin(angle));
        close("rotation", turned[at + half], b * std::cos(angle) + a * std::sin(angle));
        close("rotation and back", back[at], a);
    }
    // Rows of a table.
    std::vector<u32> order = {1, 3, 0, 2}, starts = {0, 2, 4}, ids = {5, 2};
    std::vector<float> g = numbers(4 * 3), out(6 * 3);
    emu::launch(flat(2), flat(32), 16, [&] { table_backward(g.data(), F32, order.data(), starts.data(), ids.data(), out.data(), F32, 3); });
    for (int i = 0; i < 3; ++i) {
        close("row of a table", out[5 * 3 + i], (double)g[3 + i] + g[9 + i]);
        close("row of a table", out[2 * 3 + i], (double)g[i] + g[6 + i]);
        close("row that nothing took", out[i], 0);
    }
    // AdamW.
    auto p = numbers(50), m = numbers(50), w = numbers(50), d = numbers(50);
    for (auto& x : w) x *= x;
    auto p0 = p, m0 = m, w0 = w;
    emu::launch(flat(1), flat(32), 16, [&] { adamw(p.data(), m.data(), w.data(), d.data(), 50, 0.9f, 0.1f, 0.99f, 0.01f, 0.999f, 0.01f, 1.5f, 1e-8f, 0.5f); });
    for (int i = 0; i < 50; ++i) {
        double s = 0.5 * d[i], first = 0.9 * m0[i] + 0.1 * s, second = 0.99 * w0[i] + 0.01 * s * s;
        close("first moment", m[i], first);
        close("second moment", w[i], second);
        close("parameter", p[i], 0.999 * p0[i] - 0.01 * first / (std::sqrt(second * 1.5) + 1e-8));
    }
    long long fixed[2] = {3 * 17592186044416ll / 2, -17592186044416ll};
    float numbers_of[2];
    emu::launch(flat(1), flat(32), 16, [&] { of_fixed(fixed, numbers_of, 2); });
    close("fixed point", numbers_of[0], 1.5, 0);
    close("fixed point", numbers_of[1], -1, 0);
    for (float x : {1.0f, -3.14159f, 65504.0f, 1e-3f}) {
        close("bfloat16", of_bf16(to_bf16(x)), x, 4e-3);
        close("float16", of_f16(to_f16(x)), x, 5e-4);
    }
}

int main() {
    norms();
    activations();
    others();
    return good ? 0 : 1;
}
