/* What the processor can do at most: multiply-adds, and reading a cache.

   VECTOR, the bytes of a register, and the instruction set are given to the compiler;
   -ffp-contract=fast makes each a * b + c below one instruction. */

typedef float vec __attribute__((vector_size(VECTOR)));

/* Chains that do not wait for one another: 2 a cycle with a latency of 4 need 8. With a and b they
   fit the 16 registers of AVX2. */
enum { CHAINS = 12 };

/* n times CHAINS multiply-adds of a register; with |a| < 1 they stay finite. */
float probe_fma(long n, float a, float b)
{
    vec c[CHAINS], factor = a - (vec){0}, term = b - (vec){0}, sum = {0};
    for (int i = 0; i < CHAINS; i++)
        c[i] = sum + (float)i;
    for (; n > 0; n--)
        for (int i = 0; i < CHAINS; i++)
            c[i] = c[i] * factor + term;
    for (int i = 0; i < CHAINS; i++)
        sum += c[i];
    return sum[0];
}

/* n times all of p, which has a multiple of CHAINS registers and is aligned to one. */
float probe_read(const vec *p, long registers, long n)
{
    vec c[CHAINS] = {0}, sum = {0};
    for (; n > 0; n--)
        for (long k = 0; k < registers; k += CHAINS)
            for (int i = 0; i < CHAINS; i++)
                c[i] += p[k + i];
    for (int i = 0; i < CHAINS; i++)
        sum += c[i];
    return sum[0];
}
