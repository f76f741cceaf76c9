// What the kernels share: number types, and sums over a block.
//
// Tensors come as a pointer and the number of their type; arithmetic is in float32.
#pragma once

#ifndef KORFINSTS_EMULATED
#include <cuda_fp16.h>
#define SHARED(name) extern __shared__ uint4 name[]
#endif

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

enum Type { F32 = 0, BF16 = 1, F16 = 2 };

__device__ __forceinline__ float of_bf16(u16 x) { return __uint_as_float((u32)x << 16); }

__device__ __forceinline__ u16 to_bf16(float x) {
    u32 bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (u16)((bits >> 16) | 64u);
    return (u16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

__device__ __forceinline__ float of_f16(u16 x) { return __half2float(__ushort_as_half(x)); }

__device__ __forceinline__ u16 to_f16(float x) { return __half_as_ushort(__float2half_rn(x)); }

__device__ __forceinline__ float load(const void* from, int type, size_t i) {
    if (type == F32) return ((const float*)from)[i];
    u16 x = ((const u16*)from)[i];
    return type == BF16 ? of_bf16(x) : of_f16(x);
}

__device__ __forceinline__ void store(void* to, int type, size_t i, float x) {
    if (type == F32) {
        ((float*)to)[i] = x;
    } else {
        ((u16*)to)[i] = type == BF16 ? to_bf16(x) : to_f16(x);
    }
}

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int way = 16; way > 0; way /= 2) x += __shfl_xor_sync(0xffffffffu, x, way);
    return x;
}

// The sum over a block, in every thread; `scratch` holds 32 values.
__device__ __forceinline__ float block_sum(float x, float* scratch) {
    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0.0f;
    for (int i = 0; i < (int)blockDim.x / 32; ++i) sum += scratch[i];
    return sum;
}
