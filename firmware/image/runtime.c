/* What a C compiler may call even without a C library. */
#include <stddef.h>
#include <stdint.h>

void *memset(void *target, int value, size_t bytes);
void *memcpy(void *restrict target, const void *restrict source, size_t bytes);

/* GCC would make a call of memset of the loop in memset. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif

static int aligned(const void *a, const void *b, size_t bytes)
{
    return (((uintptr_t)a | (uintptr_t)b | bytes) & 3u) == 0;
}

void *memset(void *target, int value, size_t bytes)
{
    if (aligned(target, target, bytes)) {
        for (uint32_t *to = target; bytes > 0; bytes -= 4) {
            *to++ = 0x01010101u * (uint8_t)value;
        }
    }
    for (uint8_t *to = target; bytes > 0; bytes--) {
        *to++ = (uint8_t)value;
    }
    return target;
}

void *memcpy(void *restrict target, const void *restrict source, size_t bytes)
{
    uint8_t *to = target;
    const uint8_t *from = source;
    if (aligned(to, from, bytes)) {
        for (; bytes > 0; bytes -= 4, to += 4, from += 4) {
            *(uint32_t *)(void *)to = *(const uint32_t *)(const void *)from;
        }
    }
    for (; bytes > 0; bytes--) {
        *to++ = *from++;
    }
    return target;
}
