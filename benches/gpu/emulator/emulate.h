// Runs CUDA kernels on a CPU: a coroutine per thread of a block.
#pragma once
#define KORFINSTS_EMULATED
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(x)
struct Dim { int x = 1, y = 1, z = 1; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) float2 { float x, y; };
static Dim threadIdx, blockIdx, blockDim, gridDim;
static uint4* emulated_shared;
#define SHARED(name) uint4* name = emulated_shared
using std::max; using std::min;
inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
typedef _Float16 half_;
inline half_ __ushort_as_half(unsigned short u) { half_ h; memcpy(&h, &u, 2); return h; }
inline unsigned short __half_as_ushort(half_ h) { unsigned short u; memcpy(&u, &h, 2); return u; }
inline float __half2float(half_ h) { return (float)h; }
inline half_ __float2half_rn(float f) { return (half_)f; }
inline float __expf(float x) { return expf(x); }
namespace emu {
// Changes stacks: keeps the registers that a function must keep, and the place of the old stack in `from`.
extern "C" void emulated_switch(void** from, void* to);
#if defined(__x86_64__)
asm(R"(
.text
.weak emulated_switch
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
#else
#error "the emulator runs on x86-64"
#endif

enum State { READY, AT_WARP, AT_BLOCK, DONE };
struct Thread {
    void* place;
    std::unique_ptr<char[]> stack;
    Dim id;
    State state;
};
const size_t STACK = 1 << 16;
static std::vector<Thread> threads;
static int current;
static void* home;
static std::function<void()> body;
struct Slot { alignas(16) char bytes[32]; };
static std::vector<Slot> slots;

inline void wait(State state) {
    int me = current;
    threads[me].state = state;
    emulated_switch(&threads[me].place, home);
    threadIdx = threads[me].id;
}
static void entry() {
    body();
    wait(DONE);
}
// Runs the threads of a block in turns, each until it waits for its warp or its block.
inline void run_block(Dim block) {
    const int n = block.x * block.y * block.z;
    while ((int)threads.size() < n) threads.push_back({nullptr, std::unique_ptr<char[]>(new char[STACK]), {}, DONE});
    slots.resize(n);
    for (int i = 0; i < n; ++i) {
        Thread& t = threads[i];
        t.id.x = i % block.x, t.id.y = i / block.x % block.y, t.id.z = 0, t.state = READY;
        // Six registers, the place to go to, and a word that aligns the stack as a call would.
        void** top = (void**)(((size_t)t.stack.get() + STACK) / 16 * 16);
        top[-2] = (void*)entry;
        t.place = top - 8;
    }
    for (;;) {
        bool ran = false, over = true, all = true, freed = false;
        for (int i = 0; i < n; ++i) {
            if (threads[i].state == READY) {
                current = i;
                threadIdx = threads[i].id;
                emulated_switch(&home, threads[i].place);
                ran = true;
            }
            over &= threads[i].state == DONE;
        }
        if (over) return;
        if (ran) continue;
        for (int warp = 0; warp < n; warp += 32) {
            const int end = min(n, warp + 32);
            bool together = true, any = false;
            for (int i = warp; i < end; ++i) {
                any |= threads[i].state == AT_WARP;
                together &= threads[i].state == AT_WARP || threads[i].state == DONE;
            }
            for (int i = warp; i < end && any && together; ++i) {
                if (threads[i].state == AT_WARP) threads[i].state = READY;
            }
            freed |= any && together;
        }
        if (freed) continue;
        for (int i = 0; i < n; ++i) all &= threads[i].state == AT_BLOCK || threads[i].state == DONE;
        if (!all) {
            printf("threads wait for each other\n");
            abort();
        }
        for (int i = 0; i < n; ++i) {
            if (threads[i].state == AT_BLOCK) threads[i].state = READY;
        }
    }
}
// What the 32 threads of a warp have.
template <class T> void exchange(T mine, T* all) {
    static_assert(sizeof(T) <= sizeof(Slot), "a slot is too small");
    int me = current, warp = me / 32 * 32;
    memcpy(slots[me].bytes, &mine, sizeof(T));
    wait(AT_WARP);
    for (int i = 0; i < 32 && warp + i < (int)slots.size(); ++i) memcpy(&all[i], slots[warp + i].bytes, sizeof(T));
    wait(AT_WARP);
}
template <class F> void launch(Dim grid, Dim block, size_t shared, F f) {
    std::vector<uint4> memory(shared / 16 + 1); gridDim = grid; blockDim = block; body = f;
    for (int z = 0; z < grid.z; ++z) for (int y = 0; y < grid.y; ++y) for (int x = 0; x < grid.x; ++x) {
        memset(memory.data(), 0xff, memory.size() * 16); emulated_shared = memory.data();
        blockIdx.x = x; blockIdx.y = y; blockIdx.z = z; run_block(block);
    }
}
}
inline void __syncthreads() { emu::wait(emu::AT_BLOCK); }
inline float __shfl_sync(unsigned, float v, int from) { float all[32]; emu::exchange(v, all); return all[from]; }
inline float __shfl_xor_sync(unsigned, float v, int way) { float all[32]; int lane = emu::current % 32; emu::exchange(v, all); return all[lane ^ way]; }
inline void atomicAdd(unsigned long long* p, unsigned long long v) { *p += v; }

// The tensor core's product of 16 x 16 and 16 x 8 values, and what loads its right operand. The kernels say what
// their 16-bit values mean.
float emulated_value(unsigned short u);
struct MmaIn { unsigned a[4], b[2]; };
inline void multiply(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    MmaIn in, all[32]; memcpy(in.a, a, 16); memcpy(in.b, b, 8); int lane = emu::current % 32; emu::exchange(in, all);
    int g = lane / 4, q = lane % 4;
    auto A = [&](int r, int k) { unsigned w = all[(r % 8) * 4 + (k % 8) / 2].a[(k / 8) * 2 + r / 8]; return emulated_value(k % 2 ? w >> 16 : w & 0xffff); };
    auto B = [&](int k, int n) { unsigned w = all[n * 4 + (k % 8) / 2].b[k / 8]; return emulated_value(k % 2 ? w >> 16 : w & 0xffff); };
    for (int e = 0; e < 4; ++e) { float s = 0; for (int k = 0; k < 16; ++k) s += A(g + e / 2 * 8, k) * B(k, 2 * q + e % 2); c[e] += s; }
}
inline void of_rows(unsigned (&b)[2], const unsigned short* row) {
    const unsigned short* all[32]; int lane = emu::current % 32; emu::exchange(row, all); int g = lane / 4, q = lane % 4;
    if ((size_t)row % 16) { printf("misaligned ldmatrix\n"); abort(); }
    for (int m = 0; m < 2; ++m) b[m] = all[8 * m + 2 * q][g] | ((unsigned)all[8 * m + 2 * q + 1][g] << 16);
}
