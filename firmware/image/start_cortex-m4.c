/* Start-up of a Cortex-M4: the vector table, memory as C expects it, then main. */
#include <stdint.h>

extern uint32_t bs_stack_top[], bs_data_load[], bs_data_begin[], bs_data_end[], bs_bss_begin[], bs_bss_end[];

int main(void);
void bs_reset(void);
void bs_stop(void);
void bs_converter(void);

void bs_reset(void)
{
    const uint32_t *from = bs_data_load;
    for (uint32_t *to = bs_data_begin; to < bs_data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = bs_bss_begin; to < bs_bss_end;) {
        *to++ = 0;
    }
    main();
    bs_stop();
}

/* Every exception that nobody expects. */
void bs_stop(void)
{
    for (;;) {
        __asm__ volatile("wfi");
    }
}

/* The converter's interrupt: the board defines one that reads the converter and calls bs_application_take. */
__attribute__((weak)) void bs_converter(void)
{
    bs_stop();
}

/* The words of the table, ARMv7-M, B1.5.2: the stack, 15 exceptions, then the interrupts of the device, of which the first is taken. */
typedef union {
    uint32_t *stack;
    void (*handler)(void);
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[17] = {
    {.stack = bs_stack_top}, {.handler = bs_reset},
    {.handler = bs_stop}, {.handler = bs_stop}, {.handler = bs_stop}, {.handler = bs_stop}, {.handler = bs_stop},
    {.handler = bs_stop}, {.handler = bs_stop}, {.handler = bs_stop}, {.handler = bs_stop}, {.handler = bs_stop},
    {.handler = bs_stop}, {.handler = bs_stop}, {.handler = bs_stop}, {.handler = bs_stop},
    {.handler = bs_converter},
};
