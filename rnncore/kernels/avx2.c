/* avx2.c - x86-64 with AVX2 and FMA. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#define RNN_ISA       avx2
#define RNN_HAS_FMA   1
#define RNN_REGISTERS 16
#define RNN_BYTES     32
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), \
                             apply_to = function)
#include "isa.h"
#pragma clang attribute pop
#else
#pragma GCC target("avx2,fma")
#include "isa.h"
#endif
#else
typedef int rnn_avx2_is_for_x86;   /* a translation unit may not be empty */
#endif
