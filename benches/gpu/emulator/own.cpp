// The kernels of this project as a library: one for each number type and width of a head, and one of `rows.cu`.
#include "emulate.h"
#ifdef HEAD
#include "attention.cu"
float emulated_value(unsigned short u) { return number(u); }
#else
#include "rows.cu"
float emulated_value(unsigned short) { return 0.0f; }
#endif
#include <map>
#include <string>
#include <utility>

typedef std::function<void(void**)> Kernel;

template <class... A, size_t... I> void unpacked(void (*f)(A...), void** p, std::index_sequence<I...>) { f(*(A*)p[I]...); }
template <class... A> Kernel kernel(void (*f)(A...)) {
    return [f](void** p) { unpacked(f, p, std::index_sequence_for<A...>()); };
}
#define NAMED(f) {#f, kernel(f)}

static const std::map<std::string, Kernel> kernels = {
#ifdef HEAD
    NAMED(attention_forward), NAMED(attention_delta), NAMED(attention_backward_queries), NAMED(attention_backward_keys),
#else
    NAMED(norm_forward), NAMED(norm_backward), NAMED(column_sums), NAMED(activate), NAMED(activate_backward), NAMED(add_row),
    NAMED(rotate), NAMED(table_backward), NAMED(adamw), NAMED(of_fixed),
#endif
};

extern "C" bool emulated(const char* name, Dim grid, Dim block, size_t shared, void** parameters) {
    auto found = kernels.find(name);
    if (found == kernels.end()) return false;
    emu::launch(grid, block, shared, [&] { found->second(parameters); });
    return true;
}
