/* dispatch.c - which kernels this build has, which this processor can run, and the mode that
 * treats denormals as zero. */
#include <string.h>
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
extern const rnn_kernels rnn_kernels_32_avx512, rnn_kernels_64_avx512;
extern const rnn_kernels rnn_kernels_32_avx2, rnn_kernels_64_avx2;
extern const rnn_kernels rnn_kernels_32_baseline, rnn_kernels_64_baseline;
static const rnn_kernels *const tables[] = {
    &rnn_kernels_32_avx512, &rnn_kernels_64_avx512, &rnn_kernels_32_avx2, &rnn_kernels_64_avx2,
    &rnn_kernels_32_baseline, &rnn_kernels_64_baseline, NULL,
};
const char *const rnn_isa_names[] = {"avx512", "avx2", "baseline", NULL};

static int can_run(const char *isa)
{
    if (!strcmp(isa, "avx512"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (!strcmp(isa, "avx2"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return 1;
}
#elif defined(__aarch64__)
extern const rnn_kernels rnn_kernels_32_neon, rnn_kernels_64_neon;
static const rnn_kernels *const tables[] = {&rnn_kernels_32_neon, &rnn_kernels_64_neon, NULL};
const char *const rnn_isa_names[] = {"neon", NULL};
static int can_run(const char *isa) { (void)isa; return 1; }
#else
extern const rnn_kernels rnn_kernels_32_baseline, rnn_kernels_64_baseline;
static const rnn_kernels *const tables[] = {
    &rnn_kernels_32_baseline, &rnn_kernels_64_baseline, NULL,
};
const char *const rnn_isa_names[] = {"baseline", NULL};
static int can_run(const char *isa) { (void)isa; return 1; }
#endif

const rnn_kernels *rnn_find_kernels(const char *isa, ptrdiff_t itemsize)
{
    for (const rnn_kernels *const *k = tables; *k; k++)
        if (!strcmp((*k)->isa, isa) && (*k)->itemsize == itemsize && can_run(isa))
            return *k;
    return NULL;
}

const char *rnn_best_isa(void)
{
    const char *const *name = rnn_isa_names;
    while (!can_run(*name))
        name++;
    return *name;
}

#if defined(__x86_64__)
/* Bits of MXCSR: flush results to zero, denormals are zero. Who has them set already, as audio
 * programs do, is spared the writing, which takes longer than a step of a very small network. */
enum { WANTED = 0x8000 | 0x0040 };
unsigned rnn_enter(void)
{
    const unsigned mode = _mm_getcsr();
    if ((mode & WANTED) != WANTED)
        _mm_setcsr(mode | WANTED);
    return mode;
}
void rnn_leave(unsigned mode)
{
    if ((mode & WANTED) != WANTED)
        _mm_setcsr(mode);
}
#elif defined(__aarch64__)
enum { FLUSH_TO_ZERO = 1 << 24 };                               /* a bit of FPCR */
unsigned rnn_enter(void)
{
    unsigned long mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | FLUSH_TO_ZERO));
    return (unsigned)mode;
}
void rnn_leave(unsigned mode) { __asm__ volatile("msr fpcr, %0" : : "r"((unsigned long)mode)); }
#else
unsigned rnn_enter(void) { return 0; }
void rnn_leave(unsigned mode) { (void)mode; }
#endif
