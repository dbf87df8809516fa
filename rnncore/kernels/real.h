/* real.h - one source for two element types and every instruction set.
 *
 * Included with RNN_BITS set to 32 or 64 and RNN_ISA, RNN_BYTES (bytes of a vector register)
 * and RNN_REGISTERS set (see isa.h). Kernels are written over `vec`, GCC's and Clang's vector
 * type of LANES elements: operators act on each lane, and nothing is left to a vectorizer.
 *
 * A fused multiply-add is always written out (compile with -ffp-contract=off), so every
 * instruction set that has one gives the same bits. */
#include <stdint.h>

#undef real
#undef integer
#undef LANES
#undef FN
#undef vec
#undef mask
#undef ONE
#define RNN_CAT_(a, b, c) rnn_##a##_##b##_##c
#define RNN_CAT(a, b, c) RNN_CAT_(a, b, c)
#define FN(name) RNN_CAT(name, RNN_BITS, RNN_ISA)

#if RNN_BITS == 32
#define real    float
#define integer int32_t
#else
#define real    double
#define integer int64_t
#endif
#define LANES (RNN_BYTES * 8 / RNN_BITS)
#define ONE   ((real)1)

/* Aligned only as one element is, because rows may start anywhere. */
typedef real FN(vec)
    __attribute__((vector_size(RNN_BYTES), aligned(RNN_BITS / 8), may_alias));
typedef integer FN(mask)
    __attribute__((vector_size(RNN_BYTES), aligned(RNN_BITS / 8), may_alias));
#define vec  FN(vec)
#define mask FN(mask)

#undef ALWAYS_INLINE
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* a b + c */
#undef FMA
#define FMA(a, b, c) FN(fma)(a, b, c)
ALWAYS_INLINE vec FN(fma)(vec a, vec b, vec c)
{
#if !RNN_HAS_FMA
    return a * b + c;
#elif defined(__aarch64__) && RNN_BITS == 32
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif defined(__aarch64__)
    return (vec)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#elif RNN_BYTES == 64 && RNN_BITS == 32
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif RNN_BYTES == 64
    return (vec)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif RNN_BITS == 32
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return (vec)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#endif
}

ALWAYS_INLINE vec FN(fill)(real x) { return x - (vec){0}; }

/* where ? a : b, lane by lane; `where` comes from a comparison. */
ALWAYS_INLINE vec FN(select)(mask where, vec a, vec b)
{
    return (vec)((where & (mask)a) | (~where & (mask)b));
}

/* The larger of both, or a where it is NaN: one instruction where a comparison and a choice
 * would be on the way of every activation. */
ALWAYS_INLINE vec FN(at_least)(vec least, vec a)
{
#if RNN_BYTES == 64 && RNN_BITS == 32
    return (vec)_mm512_max_ps((__m512)least, (__m512)a);
#elif RNN_BYTES == 64
    return (vec)_mm512_max_pd((__m512d)least, (__m512d)a);
#elif RNN_BYTES == 32 && RNN_BITS == 32
    return (vec)_mm256_max_ps((__m256)least, (__m256)a);
#elif RNN_BYTES == 32
    return (vec)_mm256_max_pd((__m256d)least, (__m256d)a);
#else
    return FN(select)(a < least, least, a);
#endif
}

/* Correctly rounded on every instruction set. */
ALWAYS_INLINE vec FN(sqrt)(vec x)
{
#if defined(__aarch64__) && RNN_BITS == 32
    return (vec)vsqrtq_f32((float32x4_t)x);
#elif defined(__aarch64__)
    return (vec)vsqrtq_f64((float64x2_t)x);
#elif RNN_BYTES == 64 && RNN_BITS == 32
    return (vec)_mm512_sqrt_ps((__m512)x);
#elif RNN_BYTES == 64
    return (vec)_mm512_sqrt_pd((__m512d)x);
#elif RNN_BYTES == 32 && RNN_BITS == 32
    return (vec)_mm256_sqrt_ps((__m256)x);
#elif RNN_BYTES == 32
    return (vec)_mm256_sqrt_pd((__m256d)x);
#else
    for (int i = 0; i < LANES; i++)
        x[i] = RNN_BITS == 32 ? __builtin_sqrtf(x[i]) : __builtin_sqrt(x[i]);
    return x;
#endif
}
