/* Start-up of an RV32IMC core in machine mode: stack and trap handler, memory as C expects it, then main. */
#include <stdint.h>

extern uint32_t bs_data_load[], bs_data_begin[], bs_data_end[], bs_bss_begin[], bs_bss_end[];

int main(void);
void bs_reset(void);
void bs_stop(void);
void bs_converter(void);

__asm__(
    ".section .vectors, \"ax\"\n"
    ".globl _start\n"
    "_start:\n"
    "    la sp, bs_stack_top\n"
    "    call bs_reset\n"
    ".text\n");

/* Every trap that nobody expects. */
void bs_stop(void)
{
    for (;;) {
        __asm__ volatile("wfi");
    }
}

/* The converter's interrupt: the board defines one that reads the converter and calls bs_application_take, and says so in mtvec. */
__attribute__((weak)) void bs_converter(void)
{
    bs_stop();
}

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
