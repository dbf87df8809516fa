/* avx512.c - x86-64 with AVX-512 F, DQ, BW and VL. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#define RNN_ISA       avx512
#define RNN_HAS_FMA   1
#define RNN_REGISTERS 32
#define RNN_BYTES     64
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl"))), \
                             apply_to = function)
#include "isa.h"
#pragma clang attribute pop
#else
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl")
#include "isa.h"
#endif
#else
typedef int rnn_avx512_is_for_x86;   /* a translation unit may not be empty */
#endif
