/* The firmware of a device, but for its sensor and its radio: a chain between two rings. */
#include "results.h"

/* Sleeps until an interrupt has come; it may have come already. */
static void wait(void)
{
    __asm__ volatile("wfi" ::: "memory");
}

int main(void)
{
    bs_application_init();
    for (;;) {
        bs_application_run();
        wait();
    }
}
