/* The firmware of an implant, but for its converter and its radio: a chain between two rings. */
#include "application.h"

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
