// A CUDA driver without a card: device memory is memory, streams run at once, and kernels are run by name: those of
// this project from their sources, candle's by what they compute. Enough of libcuda, libcublas and libcurand for
// `korfinsts`. A kernel that it does not know ends the process with its name.
#include <dlfcn.h>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <unistd.h>
#include <vector>

struct Dim { int x = 1, y = 1, z = 1; };
typedef bool Emulated(const char*, Dim, Dim, size_t, void**);
struct Module { Emulated* own = nullptr; };
struct Function { Module* module; std::string name; };

static std::recursive_mutex one_at_a_time;

// Calls and seconds of each kernel, said at the end where KORFINSTS_EMULATOR_TRACE is set.
struct Trace {
    std::map<std::string, std::pair<long, double>> kernels;
    const bool on = getenv("KORFINSTS_EMULATOR_TRACE") != nullptr;
    ~Trace() {
        for (auto& k : kernels) fprintf(stderr, "%-28s %8ld calls %9.3f s\n", k.first.c_str(), k.second.first, k.second.second);
    }
};
static Trace trace;

static float of_bits(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
static uint32_t bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
struct bf16 {
    uint16_t u;
    operator float() const { return of_bits((uint32_t)u << 16); }
    bf16() = default;
    bf16(float f) { uint32_t b = bits(f); u = std::isnan(f) ? (b >> 16) | 64 : (b + 0x7fff + ((b >> 16) & 1)) >> 16; }
};
typedef _Float16 f16;

static size_t place(size_t i, size_t n, const size_t* dims, const size_t* strides) {
    size_t at = 0;
    for (size_t d = n; d-- > 0;) { at += i % dims[d] * strides[d]; i /= dims[d]; }
    return at;
}
static size_t strided(size_t i, size_t n, const size_t* info, int which) {
    return info ? place(i, n, info, info + which * n) : i;
}
template <class T> static T arg(void** p, int i) { return *(T*)p[i]; }

[[noreturn]] static void unknown(const std::string& name) {
    fprintf(stderr, "no emulation of the kernel `%s`\n", name.c_str());
    _exit(70);
}

static double unary(const std::string& op, double x) {
    if (op == "copy") return x;
    if (op == "neg") return -x;
    if (op == "sqr") return x * x;
    if (op == "sqrt") return std::sqrt(x);
    if (op == "exp") return std::exp(x);
    if (op == "log") return std::log(x);
    if (op == "tanh") return std::tanh(x);
    if (op == "abs") return std::fabs(x);
    if (op == "relu") return x > 0 ? x : 0;
    if (op == "recip") return 1 / x;
    if (op == "sign") return (x > 0) - (x < 0);
    unknown("u" + op);
}
static double binary(const std::string& op, double x, double y) {
    if (op == "add") return x + y;
    if (op == "sub") return x - y;
    if (op == "mul") return x * y;
    if (op == "div") return x / y;
    if (op == "maximum") return x > y ? x : y;
    if (op == "minimum") return x < y ? x : y;
    unknown("b" + op);
}
static bool compare(const std::string& op, double x, double y) {
    if (op == "eq") return x == y;
    if (op == "ne") return x != y;
    if (op == "lt") return x < y;
    if (op == "le") return x <= y;
    if (op == "gt") return x > y;
    if (op == "ge") return x >= y;
    unknown("b" + op);
}

template <class S, class T> static void cast(void** p) {
    size_t n = arg<size_t>(p, 0), d = arg<size_t>(p, 1);
    auto info = arg<size_t*>(p, 2); auto in = arg<S*>(p, 3); auto out = arg<T*>(p, 4);
    for (size_t i = 0; i < n; ++i) out[i] = (T)in[strided(i, d, info, 1)];
}
template <class S> static void cast_to(const std::string& to, void** p) {
    if (to == "f32") cast<S, float>(p);
    else if (to == "bf16") cast<S, bf16>(p);
    else if (to == "f16") cast<S, f16>(p);
    else if (to == "f64") cast<S, double>(p);
    else if (to == "u8") cast<S, uint8_t>(p);
    else if (to == "u32") cast<S, uint32_t>(p);
    else unknown("cast_" + to);
}

template <class T> static void of_type(const std::string& op, void** p, int blocks) {
    if (op[0] == 'u') {
        size_t n = arg<size_t>(p, 0), d = arg<size_t>(p, 1);
        auto info = arg<size_t*>(p, 2); auto in = arg<T*>(p, 3), out = arg<T*>(p, 4);
        for (size_t i = 0; i < n; ++i) out[i] = (T)unary(op.substr(1), (double)(in ? in[strided(i, d, info, 1)] : out[i]));
    } else if (op == "affine") {
        size_t n = arg<size_t>(p, 0), d = arg<size_t>(p, 1);
        auto info = arg<size_t*>(p, 2); auto in = arg<T*>(p, 3), out = arg<T*>(p, 4); T mul = arg<T>(p, 5), add = arg<T>(p, 6);
        for (size_t i = 0; i < n; ++i) out[i] = (T)((T)((in ? in[strided(i, d, info, 1)] : out[i]) * mul) + add);
    } else if (op == "const_set") {
        size_t n = arg<size_t>(p, 0), d = arg<size_t>(p, 1);
        auto info = arg<size_t*>(p, 2); T x = arg<T>(p, 3); auto out = arg<T*>(p, 4);
        for (size_t i = 0; i < n; ++i) out[strided(i, d, info, 1)] = x;
    } else if (op == "copy2d") {
        auto in = arg<T*>(p, 0), out = arg<T*>(p, 1);
        uint32_t a = arg<uint32_t>(p, 2), b = arg<uint32_t>(p, 3), from = arg<uint32_t>(p, 4), to = arg<uint32_t>(p, 5);
        for (size_t i = 0; i < a; ++i) for (size_t j = 0; j < b; ++j) out[i * to + j] = in[i * from + j];
    } else if (op == "fast_sum" || op == "fast_max") {
        size_t n = arg<size_t>(p, 0), each = arg<size_t>(p, 1), d = arg<size_t>(p, 2);
        auto info = arg<size_t*>(p, 3); auto in = arg<T*>(p, 4), out = arg<T*>(p, 5);
        for (size_t b = 0; b < (n + each - 1) / each; ++b) {
            double sum = op == "fast_max" ? -INFINITY : 0;
            for (size_t i = b * each; i < (b + 1) * each && i < n; ++i) {
                double x = in[place(i, d, info, info + d)];
                sum = op == "fast_max" ? std::fmax(sum, x) : sum + x;
            }
            out[b] = (T)sum;
        }
    } else if (op == "fast_sum_small") {
        size_t n = arg<size_t>(p, 0), each = arg<size_t>(p, 1), d = arg<size_t>(p, 2);
        auto info = arg<size_t*>(p, 3); auto in = arg<T*>(p, 4), out = arg<T*>(p, 5);
        for (size_t b = 0; b < n; ++b) {
            double sum = 0;
            for (size_t i = b * each; i < (b + 1) * each; ++i) sum += in[place(i, d, info, info + d)];
            out[b] = (T)sum;
        }
    } else if (op == "is_u32") {
        auto ids = arg<uint32_t*>(p, 3); auto in = arg<T*>(p, 4), out = arg<T*>(p, 5);
        size_t left = arg<size_t>(p, 6), rows = arg<size_t>(p, 7), n = arg<size_t>(p, 8), right = arg<size_t>(p, 9);
        for (size_t l = 0; l < left; ++l) for (size_t i = 0; i < n; ++i) for (size_t r = 0; r < right; ++r) {
            out[(l * n + i) * right + r] = in[(l * rows + ids[i]) * right + r];
        }
    } else if (op == "where_u8") {
        size_t n = arg<size_t>(p, 0), d = arg<size_t>(p, 1);
        auto info = arg<size_t*>(p, 2); auto ids = arg<uint8_t*>(p, 3); auto t = arg<T*>(p, 4), f = arg<T*>(p, 5), out = arg<T*>(p, 6);
        for (size_t i = 0; i < n; ++i) out[i] = ids[strided(i, d, info, 1)] ? t[strided(i, d, info, 2)] : f[strided(i, d, info, 3)];
    } else if (op == "ia_u32") {
        auto ids = arg<uint32_t*>(p, 0); size_t n = arg<size_t>(p, 1); auto in = arg<T*>(p, 2), out = arg<T*>(p, 3);
        size_t left = arg<size_t>(p, 4), src = arg<size_t>(p, 5), dst = arg<size_t>(p, 6), right = arg<size_t>(p, 7);
        for (size_t l = 0; l < left; ++l) for (size_t i = 0; i < n && i < src; ++i) for (size_t r = 0; r < right; ++r) {
            T& to = out[(l * dst + ids[i]) * right + r];
            to = (T)(to + in[(l * src + i) * right + r]);
        }
    } else if (op[0] == 'b') {
        size_t n = arg<size_t>(p, 0), d = arg<size_t>(p, 1);
        auto info = arg<size_t*>(p, 2); auto a = arg<T*>(p, 3), b = arg<T*>(p, 4);
        std::string name = op.substr(1);
        bool compares = name.size() == 2;
        for (size_t i = 0; i < n; ++i) {
            double x = a[strided(i, d, info, 1)], y = b[strided(i, d, info, 2)];
            if (compares) arg<uint8_t*>(p, 5)[i] = compare(name, x, y);
            else arg<T*>(p, 5)[i] = (T)binary(name, x, y);
        }
    } else {
        unknown(op);
    }
}

static void of_candle(const std::string& name, void** p, int blocks) {
    size_t cut = name.rfind('_');
    std::string op = name.substr(0, cut), type = name.substr(cut + 1);
    if (op.rfind("cast_", 0) == 0) {
        std::string from = op.substr(5);
        if (from == "f32") return cast_to<float>(type, p);
        if (from == "bf16") return cast_to<bf16>(type, p);
        if (from == "f16") return cast_to<f16>(type, p);
        if (from == "f64") return cast_to<double>(type, p);
        if (from == "u8") return cast_to<uint8_t>(type, p);
        if (from == "u32") return cast_to<uint32_t>(type, p);
        if (from == "i64") return cast_to<int64_t>(type, p);
        unknown(name);
    }
    if (type == "f32") of_type<float>(op, p, blocks);
    else if (type == "bf16") of_type<bf16>(op, p, blocks);
    else if (type == "f16") of_type<f16>(op, p, blocks);
    else if (type == "f64") of_type<double>(op, p, blocks);
    else if (type == "u8") of_type<uint8_t>(op, p, blocks);
    else if (type == "u32") of_type<uint32_t>(op, p, blocks);
    else if (type == "i64") of_type<int64_t>(op, p, blocks);
    else unknown(name);
}

// The library of a module of this project, from the marks in its PTX.
static Emulated* own(const char* ptx) {
    std::string folder = getenv("KORFINSTS_EMULATOR") ? getenv("KORFINSTS_EMULATOR") : ".", name;
    const char* mark = strstr(ptx, "korfinsts_attention");
    if (mark) {
        int variant = atoi(strchr(mark, '=') + 1);
        name = "attention-" + std::to_string(variant / 1000) + "-" + std::to_string(variant % 1000) + ".so";
    } else if (strstr(ptx, ".entry norm_forward")) {
        name = "rows.so";
    } else {
        return nullptr;
    }
    void* library = dlopen((folder + "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) { fprintf(stderr, "%s\n", dlerror()); _exit(70); }
    return (Emulated*)dlsym(library, "emulated");
}

extern "C" {
typedef int Status;
static int context;
Status cuInit(unsigned) { return 0; }
Status cuDeviceGet(int* d, int) { *d = 0; return 0; }
Status cuDeviceGetAttribute(int* x, int, int) { *x = 1; return 0; }
Status cuDeviceGetDefaultMemPool(void** p, int) { *p = &context; return 0; }
Status cuDevicePrimaryCtxRetain(void** c, int) { *c = &context; return 0; }
Status cuDevicePrimaryCtxRelease_v2(int) { return 0; }
Status cuCtxGetCurrent(void** c) { *c = &context; return 0; }
Status cuCtxSetCurrent(void*) { return 0; }
Status cuCtxDestroy_v2(void*) { return 0; }
Status cuEventCreate(void** e, unsigned) { *e = &context; return 0; }
Status cuEventDestroy_v2(void*) { return 0; }
Status cuEventRecord(void*, void*) { return 0; }
Status cuStreamWaitEvent(void*, void*, unsigned) { return 0; }
Status cuStreamDestroy_v2(void*) { return 0; }
Status cuStreamSynchronize(void*) { return 0; }
Status cuStreamIsCapturing(void*, int* s) { *s = 0; return 0; }
Status cuGetErrorString(Status, const char** s) { *s = "an error of the emulated driver"; return 0; }
Status cuMemPoolSetAttribute(void*, int, void*) { return 0; }
Status cuMemGetInfo_v2(size_t* free, size_t* total) { *free = *total = 8ull << 30; return 0; }
// What is not written yet is not a number, so that it is found.
Status cuMemAlloc_v2(void** p, size_t n) { *p = aligned_alloc(256, (n + 511) / 256 * 256); memset(*p, 0xff, n); return 0; }
Status cuMemAllocAsync(void** p, size_t n, void*) { return cuMemAlloc_v2(p, n); }
Status cuMemFree_v2(void* p) { free(p); return 0; }
Status cuMemFreeAsync(void* p, void*) { free(p); return 0; }
Status cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t n, void*) { memcpy(to, from, n); return 0; }
Status cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t n, void*) { memcpy(to, from, n); return 0; }
Status cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t n, void*) { memmove(to, from, n); return 0; }
Status cuMemcpyPeerAsync(void* to, void*, const void* from, void*, size_t n, void*) { memmove(to, from, n); return 0; }
Status cuMemsetD8Async(void* p, unsigned char x, size_t n, void*) { memset(p, x, n); return 0; }
Status cuModuleLoad(void**, const char*) { return 999; }
Status cuModuleLoadData(void** m, const void* ptx) { *m = new Module{own((const char*)ptx)}; return 0; }
Status cuModuleUnload(void*) { return 0; }
Status cuModuleGetFunction(void** f, void* m, const char* name) { *f = new Function{(Module*)m, name}; return 0; }
Status cuFuncSetAttribute(void*, int, int) { return 0; }
Status cuLaunchKernel(void* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void*, void** p, void**) {
    std::lock_guard<std::recursive_mutex> lock(one_at_a_time);
    auto function = (Function*)f;
    const auto began = std::chrono::steady_clock::now();
    if (gx == 0 || gy == 0 || gz == 0 || bx * by * bz > 1024 || bx * by * bz == 0 || gy > 65535 || gz > 65535 || shared > 227 << 10) return 1;
    if (function->module->own) {
        Dim grid, block;
        grid.x = gx; grid.y = gy; grid.z = gz; block.x = bx; block.y = by; block.z = bz;
        if (!function->module->own(function->name.c_str(), grid, block, shared, p)) unknown(function->name);
    } else {
        of_candle(function->name, p, gx);
    }
    if (trace.on) {
        auto& kernel = trace.kernels[function->name];
        kernel.first += 1;
        kernel.second += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    }
    return 0;
}

Status cublasCreate_v2(void** h) { *h = &context; return 0; }
Status cublasDestroy_v2(void*) { return 0; }
Status cublasSetStream_v2(void*, void*) { return 0; }
Status curandCreateGenerator(void** g, int) { *g = &context; return 0; }
Status curandDestroyGenerator(void*) { return 0; }
Status curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) { return 0; }
Status curandSetStream(void*, void*) { return 0; }
Status cublasDgemmStridedBatched(...) { return 1; }

static float element(const void* p, int type, size_t i) {
    switch (type) {
        case 0: return ((const float*)p)[i];
        case 2: return (float)((const f16*)p)[i];
        case 14: return ((const bf16*)p)[i];
        default: fprintf(stderr, "a product of type %d\n", type); _exit(70);
    }
}
Status cublasGemmStridedBatchedEx(void*, int ta, int tb, int m, int n, int k, const void* alpha, const void* A, int at, int lda, long long sa,
                                  const void* B, int bt, int ldb, long long sb, const void* beta, void* C, int ct, int ldc, long long sc, int batch,
                                  int compute, int) {
    (void)alpha, (void)compute;
    std::lock_guard<std::recursive_mutex> lock(one_at_a_time);
    if (element(beta, compute == 64 ? 2 : 0, 0) != 0) { fprintf(stderr, "beta is not 0\n"); _exit(70); }
    std::vector<float> a((size_t)m * k), b((size_t)n * k);
    for (int x = 0; x < batch; ++x) {
        for (int i = 0; i < m; ++i) for (int l = 0; l < k; ++l) a[(size_t)i * k + l] = element(A, at, x * sa + (ta ? (size_t)i * lda + l : (size_t)l * lda + i));
        for (int j = 0; j < n; ++j) for (int l = 0; l < k; ++l) b[(size_t)j * k + l] = element(B, bt, x * sb + (tb ? (size_t)l * ldb + j : (size_t)j * ldb + l));
        for (int j = 0; j < n; ++j) for (int i = 0; i < m; ++i) {
            float sum = 0;
            for (int l = 0; l < k; ++l) sum += a[(size_t)i * k + l] * b[(size_t)j * k + l];
            size_t to = x * sc + (size_t)j * ldc + i;
            if (ct == 0) ((float*)C)[to] = sum; else if (ct == 2) ((f16*)C)[to] = (f16)sum; else ((bf16*)C)[to] = bf16(sum);
        }
    }
    return 0;
}
}
