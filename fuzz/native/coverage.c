// GCC calls __sanitizer_cov_trace_pc at every branch of the UnRAR library (see native/cxx). libFuzzer takes part in
// counters that lie in a section of this name. Source: libFuzzer, "FuzzerExtraCountersLinux.cpp".
#include <stdint.h>

#define COUNTERS 32768

__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counters[COUNTERS];

void __sanitizer_cov_trace_pc(void) {
    uintptr_t place = (uintptr_t)__builtin_return_address(0);
    uint32_t mixed = (uint32_t)(place ^ (place >> 16)) * 2654435761u;
    counters[mixed >> 17]++;
}
