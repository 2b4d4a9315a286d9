/* Event-rate guard; pipeline/events/rate_guard.py is the same text in Python. */
#include "bitspike/fixed.h"
#include "bitspike/rate_guard.h"

#define TOKEN (1u << 16)

int32_t bs_rate_guard_init(const bs_rate_guard_tables *tables, bs_rate_guard_state *state)
{
    bs_rate_guard_reset(state);
    return tables->refill >= 1 && tables->refill <= 1u << 22 && tables->size >= TOKEN && tables->size <= 32000u * TOKEN
        && tables->full_us >= 1 && tables->full_us <= UINT32_MAX / tables->refill
        ? 0 : BS_BAD_TABLES;
}

void bs_rate_guard_reset(bs_rate_guard_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_rate_guard_process(const bs_rate_guard_tables *tables, bs_rate_guard_state *state,
                              const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                              int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count)
{
    uint32_t before = state->clock, used = state->used, lost = 0, n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t now = (uint32_t)t[i];
        const uint32_t past = now - before < tables->full_us ? now - before : tables->full_us, back = past * tables->refill;
        used -= back < used ? back : used;
        before = now;
        const uint32_t passes = used + TOKEN <= tables->size;
        out_t[n] = t[i];
        out_x[n] = x[i];
        out_y[n] = y[i];
        out_p[n] = p[i];
        n += passes;
        used = passes ? used + TOKEN : used;
        lost += 1u - passes;
    }
    state->clock = before;
    state->used = used;
    state->dropped += lost;
    return (int32_t)n;
}
