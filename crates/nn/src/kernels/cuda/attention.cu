// Attention in blocks (Dao, 2023): scores are computed where they are needed, forwards and backwards, and never
// written. One module per number type and padded width of a head: TYPE and HEAD are set by the build.
//
// A warp has 16 rows of a product. Of each 16 x 8 part of it, the thread `4 g + q` holds rows `g`, `g + 8` and
// columns `2 q`, `2 q + 1`, as the tensor cores give them; float32 is multiplied in the same places without them.
//
// `qkv [rows, width, heads + 2 groups, head]`, `spans [rows, 2]` from the first real token to the one behind the
// last, `mask [rows, width]` where a span has holes, `bias [heads, 2 width - 1]` by distance, `logsum` and `delta`
// `[rows, heads, width]`.

#include "common.cuh"

// Says in the PTX which module it is.
extern "C" __device__ int korfinsts_attention = TYPE * 1000 + HEAD;

#if TYPE == 0
typedef float Number;
#define M 32
#define N (HEAD <= 128 ? 32 : 16)
#define PAD 4
#define EXP expf
#else
typedef u16 Number;
#define M 64
#define N (HEAD <= 128 ? 64 : 32)
#define PAD 8
#define EXP __expf
#endif
#define STRIDE (HEAD + PAD)
#define THREADS (M * 2)
#define VECTOR (16 / (int)sizeof(Number))

__device__ __forceinline__ float number(Number x) {
#if TYPE == 0
    return x;
#elif TYPE == 1
    return of_bf16(x);
#else
    return of_f16(x);
#endif
}

__device__ __forceinline__ Number rounded(float x) {
#if TYPE == 0
    return x;
#elif TYPE == 1
    return to_bf16(x);
#else
    return to_f16(x);
#endif
}

#if TYPE != 0 && !defined(KORFINSTS_EMULATED)
// c += a b of 16 x 16 and 16 x 8.
__device__ __forceinline__ void multiply(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#if TYPE == 1
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// The right operand of `multiply` from 16 rows of 8 values; lane `i` names row `i % 16`.
__device__ __forceinline__ void of_rows(u32 (&b)[2], const Number* row) {
    u32 at = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(b[0]), "=r"(b[1]) : "r"(at) : "memory");
}
#endif

#if TYPE != 0
__device__ __forceinline__ u32 pair(float low, float high) {
#ifdef KORFINSTS_EMULATED
    return (u32)rounded(low) | ((u32)rounded(high) << 16);
#elif TYPE == 1
    u32 both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
#else
    u32 both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
#endif
}
#endif

// c += a b^T, where `a` has the 16 rows of this warp and `b` 8 PARTS rows, each of HEAD values.
template <int PARTS>
__device__ __forceinline__ void with_rows(float (&c)[PARTS][4], const Number* a, const Number* b) {
    int lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
#if TYPE == 0
    for (int k = 0; k < HEAD; k += 4) {
        float4 a0 = *(const float4*)(a + g * STRIDE + k), a1 = *(const float4*)(a + (g + 8) * STRIDE + k);
#pragma unroll
        for (int j = 0; j < PARTS; ++j) {
            const Number* at = b + (8 * j + 2 * q) * STRIDE + k;
            float4 b0 = *(const float4*)at, b1 = *(const float4*)(at + STRIDE);
            c[j][0] += a0.x * b0.x + a0.y * b0.y + a0.z * b0.z + a0.w * b0.w;
            c[j][1] += a0.x * b1.x + a0.y * b1.y + a0.z * b1.z + a0.w * b1.w;
            c[j][2] += a1.x * b0.x + a1.y * b0.y + a1.z * b0.z + a1.w * b0.w;
            c[j][3] += a1.x * b1.x + a1.y * b1.y + a1.z * b1.z + a1.w * b1.w;
        }
    }
#else
#pragma unroll
    for (int k = 0; k < HEAD; k += 16) {
        const Number* at = a + g * STRIDE + k + 2 * q;
        u32 left[4] = {*(const u32*)at, *(const u32*)(at + 8 * STRIDE), *(const u32*)(at + 8),
                       *(const u32*)(at + 8 * STRIDE + 8)};
#pragma unroll
        for (int j = 0; j < PARTS; ++j) {
            const Number* from = b + (8 * j + g) * STRIDE + k + 2 * q;
            u32 right[2] = {*(const u32*)from, *(const u32*)(from + 8)};
            multiply(c[j], left, right);
        }
    }
#endif
}

// c += p b, where `p` is a product of 8 PARTS columns and `b` has as many rows of HEAD values.
template <int PARTS>
__device__ __forceinline__ void with_columns(float (&c)[HEAD / 8][4], const float (&p)[PARTS][4], const Number* b) {
    int lane = threadIdx.x % 32;
#if TYPE == 0
    int q = lane % 4;
#pragma unroll
    for (int j = 0; j < PARTS; ++j) {
#pragma unroll
        for (int k = 0; k < 8; ++k) {
            int holder = (lane & ~3) | (k / 2);
            float p0 = __shfl_sync(0xffffffffu, p[j][k % 2], holder);
            float p1 = __shfl_sync(0xffffffffu, p[j][2 + k % 2], holder);
            const Number* row = b + (8 * j + k) * STRIDE + 2 * q;
#pragma unroll
            for (int n = 0; n < HEAD / 8; ++n) {
                float2 v = *(const float2*)(row + 8 * n);
                c[n][0] += p0 * v.x;
                c[n][1] += p0 * v.y;
                c[n][2] += p1 * v.x;
                c[n][3] += p1 * v.y;
            }
        }
    }
#else
#pragma unroll
    for (int j = 0; j < PARTS / 2; ++j) {
        u32 left[4] = {pair(p[2 * j][0], p[2 * j][1]), pair(p[2 * j][2], p[2 * j][3]),
                       pair(p[2 * j + 1][0], p[2 * j + 1][1]), pair(p[2 * j + 1][2], p[2 * j + 1][3])};
#pragma unroll
        for (int n = 0; n < HEAD / 8; ++n) {
            u32 right[2];
            of_rows(right, b + (16 * j + lane % 16) * STRIDE + 8 * n);
            multiply(c[n], left, right);
        }
    }
#endif
}

// `rows` vectors of a head into shared memory, zero beyond `last` and beyond `head`.
__device__ __forceinline__ void take(Number* tile, const Number* from, size_t stride, int rows, int first, int last,
                                     int head, int vector) {
    for (int i = threadIdx.x; i < rows * (HEAD / VECTOR); i += THREADS) {
        int row = i / (HEAD / VECTOR), column = i % (HEAD / VECTOR) * VECTOR;
        const Number* source = from + (size_t)(first + row) * stride + column;
        Number* to = tile + row * STRIDE + column;
        int real = first + row < last ? head - column : 0;
        if (vector && real >= VECTOR) {
            *(uint4*)to = *(const uint4*)source;
        } else {
            for (int k = 0; k < VECTOR; ++k) to[k] = k < real ? source[k] : (Number)0;
        }
    }
}

// The 16 rows of this warp out of registers, those between `from` and `to`.
__device__ __forceinline__ void give(Number* out, size_t stride, const float (&c)[HEAD / 8][4], float low, float high,
                                     int first, int from, int to, int head) {
    int lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
#pragma unroll
    for (int n = 0; n < HEAD / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            int token = first + g + e / 2 * 8, column = 8 * n + 2 * q + e % 2;
            if (token >= from && token < to && column < head) {
                out[(size_t)token * stride + column] = rounded(c[n][e] * (e < 2 ? low : high));
            }
        }
    }
}

// Zeros for the tokens of a block that are no part of the row's span.
__device__ __forceinline__ void clear(Number* out, size_t stride, int first, int last, int from, int to, int head) {
    for (int i = threadIdx.x; i < (last - first) * head; i += THREADS) {
        int token = first + i / head;
        if (token < from || token >= to) out[(size_t)token * stride + i % head] = (Number)0;
    }
}

struct Place {
    int width, heads, groups, head, behind, ahead;
    float scale;
    const unsigned char* mask;
    const float* bias;
    int from, to;

    // The score of a key for a query; false where it is not seen.
    __device__ __forceinline__ bool score(float& s, int query, int key) const {
        if (key < from || key >= to || key < query - behind || key > query + ahead) return false;
        if (mask && !mask[key]) return false;
        s *= scale;
        if (bias) s += bias[width - 1 + key - query];
        return true;
    }
};

#define ARGUMENTS                                                                                                   \
    const u32 *spans, const unsigned char *mask, const float *bias, int width, int heads, int groups, int head,     \
        int behind, int ahead, float scale, int vector

#define PLACE(of_head)                                                                                               \
    {width, heads, groups, head, behind, ahead, scale, mask ? mask + (size_t)row * width : 0,                        \
     bias ? bias + (size_t)(of_head) * (2 * width - 1) : 0, (int)spans[2 * row], (int)spans[2 * row + 1]}

extern "C" __global__ void __launch_bounds__(THREADS)
    attention_forward(const Number* qkv, Number* out, float* logsum, ARGUMENTS) {
    SHARED(shared);
    Number* queries = (Number*)shared;
    Number* keys = queries + M * STRIDE;
    Number* values = keys + N * STRIDE;
    int row = blockIdx.z, at = blockIdx.y, first = blockIdx.x * M, last = min(first + M, width);
    Place place = PLACE(at);
    size_t stride = (size_t)(heads + 2 * groups) * head, out_stride = (size_t)heads * head;
    qkv += row * (size_t)width * stride;
    out += row * (size_t)width * out_stride + at * head;
    logsum += ((size_t)row * heads + at) * width;
    clear(out, out_stride, first, last, place.from, place.to, head);
    for (int i = first + threadIdx.x; i < last; i += THREADS) {
        if (i < place.from || i >= place.to) logsum[i] = INFINITY;
    }
    if (first >= place.to || last <= place.from) return;
    int group = heads + at / (heads / groups);
    take(queries, qkv + at * head, stride, M, first, last, head, vector);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
    float sum[HEAD / 8][4] = {};
    float top[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f};
    int start = max(place.from, first - behind), end = min(place.to, last + ahead);
    for (int block = start; block < end; block += N) {
        __syncthreads();
        take(keys, qkv + group * head, stride, N, block, end, head, vector);
        take(values, qkv + (group + groups) * head, stride, N, block, end, head, vector);
        __syncthreads();
        float s[N / 8][4] = {};
        with_rows(s, queries + warp * 16 * STRIDE, keys);
        float highest[2] = {top[0], top[1]};
#pragma unroll
        for (int j = 0; j < N / 8; ++j) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                int query = first + warp * 16 + g + e / 2 * 8;
                if (!place.score(s[j][e], query, block + 8 * j + 2 * q + e % 2)) s[j][e] = -INFINITY;
                highest[e / 2] = fmaxf(highest[e / 2], s[j][e]);
            }
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float h = highest[half];
            h = fmaxf(h, __shfl_xor_sync(0xffffffffu, h, 1));
            h = fmaxf(h, __shfl_xor_sync(0xffffffffu, h, 2));
            float keep = h == -INFINITY ? 0.0f : EXP(top[half] - h);
            top[half] = h;
            total[half] *= keep;
#pragma unroll
            for (int n = 0; n < HEAD / 8; ++n) {
                sum[n][2 * half] *= keep;
                sum[n][2 * half + 1] *= keep;
            }
        }
#pragma unroll
        for (int j = 0; j < N / 8; ++j) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                s[j][e] = s[j][e] == -INFINITY ? 0.0f : EXP(s[j][e] - top[e / 2]);
                total[e / 2] += s[j][e];
            }
        }
        with_columns(sum, s, values);
    }
    float inverse[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float t = total[half];
        t += __shfl_xor_sync(0xffffffffu, t, 1);
        t += __shfl_xor_sync(0xffffffffu, t, 2);
        inverse[half] = t > 0.0f ? 1.0f / t : 0.0f;
        int query = first + warp * 16 + g + half * 8;
        if (q == 0 && query >= place.from && query < min(place.to, last)) {
            logsum[query] = t > 0.0f ? top[half] + logf(t) : INFINITY;
        }
    }
    give(out, out_stride, sum, inverse[0], inverse[1], first + warp * 16, place.from, min(place.to, last), head);
}

// `delta`: the product of each state and its gradient; a warp per state.
extern "C" __global__ void attention_delta(const Number* out, const Number* g, float* delta, u64 states, int width,
                                           int heads, int head) {
    u64 state = (u64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (state >= states) return;
    float sum = 0.0f;
    for (int i = threadIdx.x % 32; i < head; i += 32) sum += number(out[state * head + i]) * number(g[state * head + i]);
    sum = warp_sum(sum);
    u64 at = state % heads, token = state / heads % width, row = state / heads / width;
    if (threadIdx.x % 32 == 0) delta[(row * heads + at) * width + token] = sum;
}

// Gradients of the queries, and of the biases in fixed point, so that their order does not matter.
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_backward_queries(const Number* qkv, const Number* gradient, const float* logsum, const float* delta,
                               Number* to_qkv, u64* to_bias, ARGUMENTS) {
    SHARED(shared);
    Number* queries = (Number*)shared;
    Number* gradients = queries + M * STRIDE;
    Number* keys = gradients + M * STRIDE;
    Number* values = keys + N * STRIDE;
    int row = blockIdx.z, at = blockIdx.y, first = blockIdx.x * M, last = min(first + M, width);
    Place place = PLACE(at);
    size_t stride = (size_t)(heads + 2 * groups) * head, out_stride = (size_t)heads * head;
    qkv += row * (size_t)width * stride;
    to_qkv += row * (size_t)width * stride + at * head;
    gradient += row * (size_t)width * out_stride + at * head;
    logsum += ((size_t)row * heads + at) * width;
    delta += ((size_t)row * heads + at) * width;
    clear(to_qkv, stride, first, last, place.from, place.to, head);
    if (first >= place.to || last <= place.from) return;
    int group = heads + at / (heads / groups);
    take(queries, qkv + at * head, stride, M, first, last, head, vector);
    take(gradients, gradient, out_stride, M, first, last, head, vector);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
    float level[2], low[2];
    for (int half = 0; half < 2; ++half) {
        int query = first + warp * 16 + g + half * 8;
        level[half] = query < last ? logsum[query] : INFINITY;
        low[half] = query < last ? delta[query] : 0.0f;
    }
    float sum[HEAD / 8][4] = {};
    int start = max(place.from, first - behind), end = min(place.to, last + ahead);
    for (int block = start; block < end; block += N) {
        __syncthreads();
        take(keys, qkv + group * head, stride, N, block, end, head, vector);
        take(values, qkv + (group + groups) * head, stride, N, block, end, head, vector);
        __syncthreads();
        float s[N / 8][4] = {}, d[N / 8][4] = {};
        with_rows(s, queries + warp * 16 * STRIDE, keys);
        with_rows(d, gradients + warp * 16 * STRIDE, values);
#pragma unroll
        for (int j = 0; j < N / 8; ++j) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                int query = first + warp * 16 + g + e / 2 * 8, key = block + 8 * j + 2 * q + e % 2;
                bool seen = query < last && place.score(s[j][e], query, key);
                float p = seen ? EXP(s[j][e] - level[e / 2]) : 0.0f;
                d[j][e] = p * (d[j][e] - low[e / 2]);
                if (to_bias && seen) {
                    long long fixed = llrint((double)d[j][e] * 17592186044416.0);
                    atomicAdd(to_bias + (size_t)at * (2 * width - 1) + width - 1 + key - query, (u64)fixed);
                }
            }
        }
        with_columns(sum, d, keys);
    }
    give(to_qkv, stride, sum, scale, scale, first + warp * 16, place.from, min(place.to, last), head);
}

// Gradients of keys and values: a warp has 16 keys, and goes through the queries of every head of its group.
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_backward_keys(const Number* qkv, const Number* gradient, const float* logsum, const float* delta,
                            Number* to_qkv, ARGUMENTS) {
    SHARED(shared);
    Number* keys = (Number*)shared;
    Number* values = keys + M * STRIDE;
    Number* queries = values + M * STRIDE;
    Number* gradients = queries + N * STRIDE;
    int row = blockIdx.z, group = blockIdx.y, first = blockIdx.x * M, last = min(first + M, width);
    size_t stride = (size_t)(heads + 2 * groups) * head, out_stride = (size_t)heads * head;
    Place place = PLACE(0);
    const float* biases = bias;
    qkv += row * (size_t)width * stride;
    gradient += row * (size_t)width * out_stride;
    Number* to_keys = to_qkv + row * (size_t)width * stride + (size_t)(heads + group) * head;
    Number* to_values = to_keys + (size_t)groups * head;
    clear(to_keys, stride, first, last, place.from, place.to, head);
    clear(to_values, stride, first, last, place.from, place.to, head);
    if (first >= place.to || last <= place.from) return;
    take(keys, qkv + (size_t)(heads + group) * head, stride, M, first, last, head, vector);
    take(values, qkv + (size_t)(heads + groups + group) * head, stride, M, first, last, head, vector);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
    float to_key[HEAD / 8][4] = {}, to_value[HEAD / 8][4] = {};
    int start = max(place.from, first - ahead), end = min(place.to, last + behind);
    for (int at = group * (heads / groups); at < (group + 1) * (heads / groups); ++at) {
        place.bias = biases ? biases + (size_t)at * (2 * width - 1) : 0;
        const float* levels = logsum + ((size_t)row * heads + at) * width;
        const float* lows = delta + ((size_t)row * heads + at) * width;
        for (int block = start; block < end; block += N) {
            __syncthreads();
            take(queries, qkv + at * head, stride, N, block, end, head, vector);
            take(gradients, gradient + at * head, out_stride, N, block, end, head, vector);
            __syncthreads();
            float s[N / 8][4] = {}, d[N / 8][4] = {};
            with_rows(s, keys + warp * 16 * STRIDE, queries);
            with_rows(d, values + warp * 16 * STRIDE, gradients);
#pragma unroll
            for (int j = 0; j < N / 8; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    int key = first + warp * 16 + g + e / 2 * 8, query = block + 8 * j + 2 * q + e % 2;
                    bool seen = query < end && key < last && place.score(s[j][e], query, key);
                    s[j][e] = seen ? EXP(s[j][e] - levels[query]) : 0.0f;
                    d[j][e] = seen ? s[j][e] * (d[j][e] - lows[query]) : 0.0f;
                }
            }
            with_columns(to_value, s, gradients);
            with_columns(to_key, d, queries);
        }
    }
    int inner = min(place.to, last);
    give(to_keys, stride, to_key, scale, scale, first + warp * 16, place.from, inner, head);
    give(to_values, stride, to_value, 1.0f, 1.0f, first + warp * 16, place.from, inner, head);
}
