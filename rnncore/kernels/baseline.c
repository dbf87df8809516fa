/* baseline.c - the instruction set every processor of an architecture has: NEON on arm64,
 * vectors of 16 bytes elsewhere. */
#if defined(__aarch64__)
#include <arm_neon.h>
#define RNN_ISA       neon
#define RNN_HAS_FMA   1
#define RNN_REGISTERS 32
#else
#define RNN_ISA       baseline
#define RNN_HAS_FMA   0
#define RNN_REGISTERS 16
#endif
#define RNN_BYTES     16
#include "isa.h"
