/* isa.h - both element types for one instruction set.
 *
 * Set before: RNN_ISA (its name), RNN_BYTES and RNN_REGISTERS (width in bytes and number of
 * vector registers), RNN_HAS_FMA. */
#include "kernels.h"

#define RNN_BITS 32
#include "table.h"
#undef RNN_BITS
#define RNN_BITS 64
#include "table.h"
#undef RNN_BITS
