/* Refuses a CPU that lacks the instructions which the Rust code of this program is compiled to, in words rather than by an
 * illegal instruction. In C, because C is compiled to the baseline here, and called by the loader before any Rust code. */
#include <string.h>
#include <unistd.h>

void ragbias_check_cpu(void) {
    static const char message[] =
        "error: this CPU lacks AVX2, FMA or BMI2, which this build of ragbias needs\n"
        "hint: build it with `RUSTFLAGS='-C target-cpu=native' cargo build --release`; LLMs will answer more slowly\n";
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        return;
    ssize_t written = write(STDERR_FILENO, message, strlen(message));
    (void)written;
    _exit(1);
}
