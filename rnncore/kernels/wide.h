/* wide.h - elements in float64, for sums and factors that float32 has not the range for: a `wide`
 * is a register of DOUBLES of them, a `part` as many elements. */
#undef DOUBLES
#define DOUBLES (RNN_BYTES / 8)

typedef double FN(wide) __attribute__((vector_size(RNN_BYTES), aligned(8), may_alias));
typedef real FN(part) __attribute__((vector_size(DOUBLES * RNN_BITS / 8), aligned(RNN_BITS / 8),
                                     may_alias));

/* gcc 12 would convert by halves. */
ALWAYS_INLINE FN(wide) FN(widen)(FN(part) v)
{
#if RNN_BYTES == 64 && RNN_BITS == 32
    return (FN(wide))_mm512_cvtps_pd((__m256)v);
#elif RNN_BYTES == 32 && RNN_BITS == 32
    return (FN(wide))_mm256_cvtps_pd((__m128)v);
#else
    return __builtin_convertvector(v, FN(wide));
#endif
}

ALWAYS_INLINE FN(part) FN(narrow)(FN(wide) w)
{
#if RNN_BYTES == 64 && RNN_BITS == 32
    return (FN(part))_mm512_cvtpd_ps((__m512d)w);
#else
    return __builtin_convertvector(w, FN(part));
#endif
}

/* a b + c */
ALWAYS_INLINE FN(wide) FN(wide_fma)(FN(wide) a, FN(wide) b, FN(wide) c)
{
#if !RNN_HAS_FMA
    return a * b + c;
#elif defined(__aarch64__)
    return (FN(wide))vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#elif RNN_BYTES == 64
    return (FN(wide))_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#else
    return (FN(wide))_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#endif
}
