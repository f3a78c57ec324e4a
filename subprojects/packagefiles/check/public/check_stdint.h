/* What Check's own build finds on any system that has the C99 header. */
#ifndef CHECK_STDINT_H
#define CHECK_STDINT_H
#include <stdint.h>
#endif
