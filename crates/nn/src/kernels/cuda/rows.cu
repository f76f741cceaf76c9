// Kernels over rows and values: normalisation, activations, biases, rotary positions, sums of
// columns, rows of a table, AdamW. Every sum runs in a fixed order.

#include "common.cuh"

// Reads a row of `x`, or of `x + residual`, into shared memory; its mean and the inverse of its deviation.
__device__ __forceinline__ float2 take_row(float* row, float* scratch, const void* x, int x_type, const void* residual,
                                           int residual_type, size_t start, int width, int centre, float epsilon) {
    float sum = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        float v = load(x, x_type, start + i);
        if (residual) v += load(residual, residual_type, start + i);
        row[i] = v;
        sum += v;
    }
    float mean = centre ? block_sum(sum, scratch) / width : 0.0f;
    float square = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) square += (row[i] - mean) * (row[i] - mean);
    return {mean, 1.0f / sqrtf(block_sum(square, scratch) / width + epsilon)};
}

// Normalises rows of `x`, or of `x + residual`; scale and shift are `parameters [1 or 2, width]`.
// A block per row; shared memory: `width + 32` values.
extern "C" __global__ void norm_forward(const void* x, int x_type, const void* residual, int residual_type,
                                        const void* parameters, int parameters_type, void* y, int y_type,
                                        int width, int shifted, int centre, float epsilon) {
    SHARED(shared);
    float* row = (float*)shared;
    float* scratch = row + width;
    size_t start = (size_t)blockIdx.x * width;
    float2 found = take_row(row, scratch, x, x_type, residual, residual_type, start, width, centre, epsilon);
    float mean = found.x, scale = found.y;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        float v = (row[i] - mean) * scale * load(parameters, parameters_type, i);
        if (shifted) v += load(parameters, parameters_type, width + i);
        store(y, y_type, start + i, v);
    }
}

// Gradients: with `n` the normalised row and `a = g w`, that of `x` (and of the residual) is
// `scale (a - mean(a) - n mean(a n))`, without `mean(a)` where rows are not centred. Those of the parameters
// are summed per block into `sums [blocks, 1 or 2, width]`. Shared memory: `3 width + 32` values.
extern "C" __global__ void norm_backward(const void* x, int x_type, const void* residual, int residual_type,
                                         const void* parameters, int parameters_type, const void* g, int g_type,
                                         void* to_x, void* to_residual, float* sums, int rows, int width,
                                         int shifted, int centre, float epsilon) {
    SHARED(shared);
    float* row = (float*)shared;
    float* to_scale = row + width;
    float* to_shift = to_scale + width;
    float* scratch = to_shift + width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) to_scale[i] = to_shift[i] = 0.0f;
    for (int r = blockIdx.x; r < rows; r += gridDim.x) {
        size_t start = (size_t)r * width;
        float2 found = take_row(row, scratch, x, x_type, residual, residual_type, start, width, centre, epsilon);
        float mean = found.x, scale = found.y;
        float level = 0.0f, along = 0.0f;
        for (int i = threadIdx.x; i < width; i += blockDim.x) {
            float normal = (row[i] - mean) * scale;
            float gradient = load(g, g_type, start + i);
            float a = gradient * load(parameters, parameters_type, i);
            to_scale[i] += gradient * normal;
            to_shift[i] += gradient;
            row[i] = normal;
            level += a;
            along += a * normal;
        }
        level = centre ? block_sum(level, scratch) / width : 0.0f;
        along = block_sum(along, scratch) / width;
        for (int i = threadIdx.x; i < width; i += blockDim.x) {
            float a = load(g, g_type, start + i) * load(parameters, parameters_type, i);
            float v = scale * (a - level - row[i] * along);
            store(to_x, x_type, start + i, v);
            if (to_residual) store(to_residual, residual_type, start + i, v);
        }
        __syncthreads();
    }
    float* out = sums + (size_t)blockIdx.x * (shifted ? 2 : 1) * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        out[i] = to_scale[i];
        if (shifted) out[width + i] = to_shift[i];
    }
}

// Sums of columns of `x [rows, width]`: part `blockIdx.y` of the rows into `sums [parts, width]`. 32 by 8 threads.
extern "C" __global__ void column_sums(const void* x, int type, int rows, int width, float* sums) {
    SHARED(shared);
    float* part = (float*)shared;
    int column = blockIdx.x * 32 + threadIdx.x;
    float sum = 0.0f;
    if (column < width) {
        for (int r = blockIdx.y * 8 + threadIdx.y; r < rows; r += gridDim.y * 8) {
            sum += load(x, type, (size_t)r * width + column);
        }
    }
    part[threadIdx.y * 32 + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < width) {
        for (int i = 1; i < 8; ++i) sum += part[i * 32 + threadIdx.x];
        sums[(size_t)blockIdx.y * width + column] = sum;
    }
}

enum Activation { NONE = 0, GELU = 1, GELU_TANH = 2, RELU = 3, SILU = 4 };

__device__ __forceinline__ float active(int activation, float x) {
    switch (activation) {
        case GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
        case GELU_TANH: return 0.5f * x * (1.0f + tanhf(0.7978845608f * x * (1.0f + 0.044715f * x * x)));
        case RELU: return fmaxf(x, 0.0f);
        case SILU: return x / (1.0f + expf(-x));
        default: return x;
    }
}

__device__ __forceinline__ float slope(int activation, float x) {
    switch (activation) {
        case GELU: return 0.5f * (1.0f + erff(x * 0.70710678f)) + x * 0.39894228f * expf(-0.5f * x * x);
        case GELU_TANH: {
            float t = tanhf(0.7978845608f * x * (1.0f + 0.044715f * x * x));
            return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * 0.7978845608f * (1.0f + 0.134145f * x * x);
        }
        case RELU: return x > 0.0f ? 1.0f : 0.0f;
        case SILU: {
            float s = 1.0f / (1.0f + expf(-x));
            return s * (1.0f + x * (1.0f - s));
        }
        default: return 1.0f;
    }
}

// `y = activation(z)`, or with a gate `activation(first half) * second half` of rows of `z`; `n` values of `y`,
// `width` to a row.
extern "C" __global__ void activate(const void* z, int z_type, void* y, int y_type, u64 n, int width, int activation,
                                    int gate) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (u64)gridDim.x * blockDim.x) {
        u64 at = gate ? i + i / width * width : i;
        float v = active(activation, load(z, z_type, at));
        if (gate) v *= load(z, z_type, at + width);
        store(y, y_type, i, v);
    }
}

// The gradient of `z` from that of `y`, into `to_z` of the type of `z`.
extern "C" __global__ void activate_backward(const void* z, int z_type, const void* g, int g_type, void* to_z, u64 n,
                                             int width, int activation, int gate) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (u64)gridDim.x * blockDim.x) {
        u64 at = gate ? i + i / width * width : i;
        float first = load(z, z_type, at), gradient = load(g, g_type, i);
        float rest = gate ? load(z, z_type, at + width) : 1.0f;
        store(to_z, z_type, at, gradient * slope(activation, first) * rest);
        if (gate) store(to_z, z_type, at + width, gradient * active(activation, first));
    }
}

// Adds a row to every row of `y`, in place.
extern "C" __global__ void add_row(void* y, int y_type, const void* row, int row_type, u64 n, int width) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (u64)gridDim.x * blockDim.x) {
        store(y, y_type, i, load(y, y_type, i) + load(row, row_type, i % width));
    }
}

// Rotates the first `turned` of `heads` heads of every token by `way` times its angles `[tokens, head / 2]`.
extern "C" __global__ void rotate(const void* x, int type, const float* cos, const float* sin, void* y, u64 n,
                                  int heads, int turned, int half, float way) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (u64)gridDim.x * blockDim.x) {
        u64 column = i % half, vector = i / half;
        u64 at = vector * 2 * half + column, angle = vector / heads * half + column;
        float a = load(x, type, at), b = load(x, type, at + half);
        float c = 1.0f, s = 0.0f;
        if ((int)(vector % heads) < turned) {
            c = cos[angle];
            s = way * sin[angle];
        }
        store(y, type, at, a * c - b * s);
        store(y, type, at + half, b * c + a * s);
    }
}

// Sums of the rows of `g [rows, width]` that were taken from one row of a table: block `b` sums the rows
// `order[starts[b]..starts[b + 1]]` into row `ids[b]` of `out`, which is zero elsewhere.
extern "C" __global__ void table_backward(const void* g, int g_type, const u32* order, const u32* starts,
                                          const u32* ids, void* out, int out_type, int width) {
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        float sum = 0.0f;
        for (u32 k = starts[blockIdx.x]; k < starts[blockIdx.x + 1]; ++k) {
            sum += load(g, g_type, (size_t)order[k] * width + i);
        }
        store(out, out_type, (size_t)ids[blockIdx.x] * width + i, sum);
    }
}

// A step of AdamW, in place.
extern "C" __global__ void adamw(float* p, float* m, float* v, const float* g, u64 n, float keep_first,
                                 float take_first, float keep_second, float take_second, float keep, float rate,
                                 float scale, float epsilon, float factor) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (u64)gridDim.x * blockDim.x) {
        float gradient = factor * g[i];
        float first = keep_first * m[i] + take_first * gradient;
        float second = keep_second * v[i] + take_second * gradient * gradient;
        m[i] = first;
        v[i] = second;
        p[i] = keep * p[i] - rate * first / (sqrtf(second * scale) + epsilon);
    }
}

// Fixed-point sums of `attention_backward_queries` as numbers.
extern "C" __global__ void of_fixed(const long long* sums, float* out, u64 n) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (u64)gridDim.x * blockDim.x) {
        out[i] = (float)((double)sums[i] / 17592186044416.0);
    }
}
